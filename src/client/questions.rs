//! What a person is asked, and what follows from the answers.
//!
//! Knows the order of the questions and the rules shared with the server. Knows the
//! terminal only through `Terminal`.

use std::io;
use std::net::TcpStream;
use std::process::ExitCode;

use super::address::{self, Server};
use super::chat::{self, End};
use super::credentials::{Credentials, Given};
use super::error::ClientError;
use super::fields::{self, Answer};
use super::heard::Lines;
use super::link::{self, Patient};
use super::screen::{self, Identity};
use super::session;
use super::show::{self, ByteEar, Ear, LineEar, Look};
use super::terminal::{self, Terminal};
use crate::cli::ConnectOptions;
use crate::limits;
use crate::protocol::Protocol;
use crate::protocol::text::{self, Field};

/// What to do in a room.
const HOW: &str = "Type a line to say it; exit() leaves.";
const HOW_ACCOUNTS: &str = "Type a line to say it; /help tells more, exit() leaves.";

/// Serves a person.
pub(super) fn run(options: &ConnectOptions) -> Result<ExitCode, ClientError> {
    let given = super::given(options)?;
    let mut terminal = Terminal::new()?;
    let asked = match &options.server {
        Some(server) => Some(server.clone()),
        None => ask_server(&mut terminal, options.protocol.default_port())?,
    };
    let end = match asked {
        None => None,
        Some(server) => match options.protocol {
            Protocol::Accounts => accounts(&mut terminal, &server, given, options)?,
            Protocol::Nickname => nickname(&mut terminal, &server, given, options)?,
            Protocol::Relay => relay(&mut terminal, &server)?,
            Protocol::Uppercase => return upper_case(&mut terminal, &server),
        },
    };
    farewell(&mut terminal, end.unwrap_or(End::Left))
}

fn farewell(terminal: &mut Terminal, end: End) -> Result<ExitCode, ClientError> {
    let (words, status) = match end {
        // A person does not wait for a server that is slow to close.
        End::Left | End::NoFarewell | End::CutOff => ("Disconnected.", ExitCode::SUCCESS),
        End::ServerShutDown => ("SERVER IS SHUTTING DOWN", ExitCode::SUCCESS),
        End::Lost => ("SERVER DISCONNECTED", ExitCode::FAILURE),
        End::OutputClosed => return Ok(ExitCode::SUCCESS),
    };
    terminal.tell(words)?;
    Ok(status)
}

fn ask_server(terminal: &mut Terminal, default_port: u16) -> Answer<Server> {
    let mut server = loop {
        let Some(host) = terminal.ask("Server host [localhost]:")? else { return Ok(None) };
        let host = if host.is_empty() { super::DEFAULT_HOST } else { &host };
        match host.parse::<Server>() {
            Ok(server) => break server,
            Err(error) => terminal.tell(&error.to_string())?,
        }
    };
    while server.port.is_none() {
        let prompt = format!("Server port [{default_port}]:");
        let Some(port) = terminal.ask(&prompt)? else { return Ok(None) };
        if port.is_empty() {
            server.port = Some(default_port);
            continue;
        }
        match address::port(&port) {
            Ok(port) => server.port = Some(port),
            Err(error) => terminal.tell(&error.to_string())?,
        }
    }
    Ok(Some(server))
}

/// What a person does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    SignUp,
    LogIn,
}

fn accounts(
    terminal: &mut Terminal,
    server: &Server,
    mut given: Given,
    options: &ConnectOptions,
) -> Answer<End> {
    // What was given on the command line needs no menu.
    let mut next = match (options.sign_up, given.is_complete()) {
        (true, _) => Some(Choice::SignUp),
        (false, true) => Some(Choice::LogIn),
        (false, false) => None,
    };
    if !given.is_complete() {
        // Better to hear now than after five questions that nobody is there.
        super::probe(server)?;
    }
    loop {
        let choice = match next.take() {
            Some(choice) => choice,
            None => match ask_menu(terminal)? {
                Some(choice) => choice,
                None => return Ok(None),
            },
        };
        let Some(who) = ask_credentials(terminal, &given, choice)? else { return Ok(None) };
        let outcome = match choice {
            Choice::SignUp => super::create(server, &who).map(|()| None),
            Choice::LogIn => super::enter(server, &who).map(Some),
        };
        match outcome {
            Ok(Some((stream, lines))) => {
                let greeting = format!("Logged in as {}. {HOW_ACCOUNTS}", who.name);
                let identity = Identity::account(server.clone(), who);
                let link = (stream, lines);
                return chat_lines(terminal, options, &greeting, identity, link).map(Some);
            }
            Ok(None) => {
                terminal.tell("Account Created")?;
                next = given.is_complete().then_some(Choice::LogIn);
            }
            Err(ClientError::SignUpRefused(why)) => {
                terminal.tell(&format!("[ERROR] {why}"))?;
                // What was given did not serve: from here on everything is asked.
                given = Given::default();
            }
            Err(error @ ClientError::LogInRefused(_)) => {
                terminal.tell(&error.to_string())?;
                given = Given::default();
            }
            Err(error) => return Err(error),
        }
    }
}

fn ask_menu(terminal: &mut Terminal) -> Answer<Choice> {
    loop {
        terminal.tell("1  sign up\n2  log in")?;
        let Some(answer) = terminal.ask("1 or 2, exit() leaves >")? else { return Ok(None) };
        match answer.as_str() {
            "1" => return Ok(Some(Choice::SignUp)),
            "2" => return Ok(Some(Choice::LogIn)),
            _ => terminal.tell("give 1 to sign up or 2 to log in")?,
        }
    }
}

fn ask_credentials(terminal: &mut Terminal, given: &Given, choice: Choice) -> Answer<Credentials> {
    let asked = [
        (given.name.is_none(), Field::Name),
        (given.user_name.is_none(), Field::UserName),
        (given.password.is_none(), Field::Password),
    ];
    for (_, field) in asked.into_iter().filter(|(asked, _)| *asked) {
        terminal.tell(&fields::rule(field))?;
    }
    let name = match &given.name {
        Some(name) => name.clone(),
        None => match fields::ask_field(terminal, "Name:", Field::Name)? {
            Some(name) => name,
            None => return Ok(None),
        },
    };
    let user_name = match &given.user_name {
        Some(user_name) => user_name.clone(),
        None => match fields::ask_field(terminal, "User name:", Field::UserName)? {
            Some(user_name) => user_name,
            None => return Ok(None),
        },
    };
    let password = match &given.password {
        Some(password) => password.clone(),
        None => match fields::ask_password(terminal, choice == Choice::SignUp)? {
            Some(password) => password,
            None => return Ok(None),
        },
    };
    Ok(Some(Credentials { name, user_name, password }))
}

fn nickname(
    terminal: &mut Terminal,
    server: &Server,
    mut given: Given,
    options: &ConnectOptions,
) -> Answer<End> {
    let mut link: Option<(TcpStream, Lines)> = None;
    loop {
        let name = match given.name.take() {
            Some(name) => name,
            None => {
                if link.is_none() {
                    terminal.tell(&fields::rule(Field::Name))?;
                }
                match fields::ask_field(terminal, "Nickname:", Field::Name)? {
                    Some(name) => name,
                    None => return Ok(None),
                }
            }
        };
        // The first name is asked before the server is reached: it does not wait for long.
        let (stream, mut heard) = match link.take() {
            Some(link) => link,
            None => super::greeted(server)?,
        };
        let outcome =
            session::nickname(&mut Patient::new(&stream, limits::ANSWER_WAIT), &mut heard, &name);
        match outcome {
            Ok(()) => {
                let greeting = format!("Joined as {name}. {HOW}");
                let identity = Identity::nickname(server.clone(), name);
                let link = (stream, heard);
                return chat_lines(terminal, options, &greeting, identity, link).map(Some);
            }
            Err(ClientError::NicknameRefused(why)) => {
                terminal.tell(&format!("[ERROR] {why}"))?;
                let mut patient = Patient::new(&stream, limits::CONNECT_WAIT);
                session::greeting(&mut patient, &mut heard)?;
            }
            Err(error) => return Err(error),
        }
        link = Some((stream, heard));
    }
}

/// With a line editor where the terminal can bear it, else line by line.
fn chat_lines(
    terminal: &mut Terminal,
    options: &ConnectOptions,
    greeting: &str,
    identity: Identity,
    (stream, lines): (TcpStream, Lines),
) -> Result<End, ClientError> {
    if screen::can_edit() {
        return screen::sit(terminal, options, greeting, identity, (stream, lines));
    }
    drop(identity);
    terminal.tell(greeting)?;
    let (protocol, look) = (options.protocol, Look::of_stdout());
    chat(&stream, protocol, &mut LineEar { protocol, look, lines, out: io::stdout() })
}

fn relay(terminal: &mut Terminal, server: &Server) -> Answer<End> {
    let stream = link::reach(server, Protocol::Relay.default_port())?;
    terminal.tell("Connected. Type a line to send it; exit() leaves.")?;
    let look = Look::of_stdout();
    let mut ear = ByteEar { look, out: io::stdout(), unfinished: Vec::new() };
    chat(&stream, Protocol::Relay, &mut ear).map(Some)
}

fn chat(stream: &TcpStream, protocol: Protocol, ear: &mut dyn Ear) -> Result<End, ClientError> {
    let leave = super::leave(protocol, limits::LEAVE_WAIT);
    chat::run(stream, terminal::lines_typed, leave, ear)
}

fn upper_case(terminal: &mut Terminal, server: &Server) -> Result<ExitCode, ClientError> {
    let sentence = loop {
        match terminal.ask("Input lowercase sentence:")? {
            None => return farewell(terminal, End::Left),
            Some(sentence) if sentence.is_empty() => terminal.tell("give a sentence")?,
            Some(sentence) => break sentence,
        }
    };
    let answer = super::upper_case(server, format!("{sentence}\n").as_bytes())?;
    if Look::of_stdout().clean {
        terminal.tell(&text::clean(String::from_utf8_lossy(&answer).trim_end()))?;
    } else {
        show::once(&mut io::stdout(), &answer)?;
    }
    Ok(ExitCode::SUCCESS)
}
