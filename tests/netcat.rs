//! Real netcats: two people chat in every protocol, a hundred megabytes go through the
//! relay, and thousands come to `uppercase` at once.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::{Captured, DEADLINE, Server, show};

/// A netcat that people use.
#[derive(Clone, Copy, PartialEq)]
enum Netcat {
    /// OpenBSD's.
    Nc,
    /// The same, which half-closes at the end of its input.
    NcN,
    /// Nmap's, with CRLF at the end of lines.
    NcatC,
}

const ALL: [Netcat; 3] = [Netcat::Nc, Netcat::NcN, Netcat::NcatC];

impl Netcat {
    fn command(self) -> Command {
        let mut command = Command::new(if self == Self::NcatC { "ncat" } else { "nc" });
        match self {
            Self::Nc => {}
            Self::NcN => drop(command.arg("-N")),
            Self::NcatC => drop(command.arg("-C")),
        }
        command
    }

    /// Whether it is installed, loudly if not.
    fn is_here(self) -> bool {
        let (program, mark) = match self {
            Self::Nc | Self::NcN => ("nc", "OpenBSD"),
            Self::NcatC => ("ncat", "Ncat"),
        };
        let help = Command::new(program).arg("-h").stdin(Stdio::null()).output();
        let here = help.is_ok_and(|help| {
            let text = [help.stdout, help.stderr].concat();
            memchr::memmem::find(&text, mark.as_bytes()).is_some()
        });
        if !here {
            eprintln!("SKIPPED: there is no {mark} {program} here");
        }
        here
    }
}

/// Somebody with a netcat.
struct Person {
    child: Child,
    input: Option<ChildStdin>,
    heard: Captured,
}

impl Person {
    fn new(netcat: Netcat, server: &Server) -> Self {
        let mut child = start(netcat, server);
        let heard = Captured::of(child.stdout.take().unwrap());
        Self { input: child.stdin.take(), child, heard }
    }

    fn types(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Waits until all that was heard so far ends with `text`.
    fn hears(&self, text: &str) {
        self.heard.wait_for(text).unwrap();
        let heard = self.heard.text();
        assert!(heard.ends_with(text), "expected {text:?} at the end of {heard:?}");
    }

    /// The server closes the connection, and this is all that was ever heard.
    fn heard_in_all(mut self, text: &str) {
        self.heard.wait_for(text).unwrap();
        // Some netcats end only when their input does.
        self.input = None;
        self.heard.wait_for_end().unwrap();
        assert_eq!(self.heard.text(), text);
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn start(netcat: Netcat, server: &Server) -> Child {
    let mut command = netcat.command();
    command.args(["127.0.0.1", &server.port().to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().unwrap()
}

fn end(child: &mut Child) {
    // It may have ended already.
    let _ = child.kill();
    let _ = child.wait();
}

/// Every pair of netcats that are here, oneself included.
fn pairs() -> Vec<(Netcat, Netcat)> {
    let here: Vec<Netcat> = ALL.into_iter().filter(|netcat| netcat.is_here()).collect();
    let others = here.iter().cycle().skip(1);
    here.iter().copied().zip(others.copied()).collect()
}

#[test]
fn accounts_from_sign_up_to_shutdown() {
    for (first, second) in pairs() {
        let mut server = Server::start("accounts", &[]).unwrap();
        for (netcat, who) in [(first, "lior"), (second, "dana")] {
            let mut person = Person::new(netcat, &server);
            person.types(&format!("[NEW]:signup:{who}:{who}_user:{who}_password"));
            person.heard_in_all("Account Created\n");
        }
        let mut lior = Person::new(first, &server);
        lior.types("[NEW]:login:lior:lior_user:lior_password");
        lior.hears("True\n");
        let mut dana = Person::new(second, &server);
        dana.types("[NEW]:login:dana:dana_user:dana_password");
        dana.hears("True\n");
        lior.hears("[dana - connected to the server!]\n");
        lior.types("hello, dana: how are you?");
        dana.hears("hello, dana: how are you? - (lior)\n");
        dana.types("");
        dana.types("fine, ünïcode and all");
        lior.hears("fine, ünïcode and all - (dana)\n");
        dana.types("exit()");
        lior.hears("[dana - disconnected from the server!]\n");
        dana.heard_in_all("True\nhello, dana: how are you? - (lior)\n");
        server.type_in(b"shutdown\n").unwrap();
        lior.heard_in_all(
            "True\n[dana - connected to the server!]\nfine, ünïcode and all - (dana)\n\
             [dana - disconnected from the server!]\nexit_server\n",
        );
        assert!(server.expect_end().unwrap().success());
    }
}

/// `printf ... | nc -N`: everything at once, without a line feed at the end.
#[test]
fn accounts_in_a_pipe() {
    if !Netcat::NcN.is_here() {
        return;
    }
    let server = Server::start("accounts", &[]).unwrap();
    let pipe = |text: &str| {
        let mut person = Person::new(Netcat::NcN, &server);
        person.input.take().unwrap().write_all(text.as_bytes()).unwrap();
        person
    };
    pipe("[NEW]:signup:lior:lior_user:lior_password").heard_in_all("Account Created\n");
    pipe("[NEW]:signup:dana:dana_user:dana_password").heard_in_all("Account Created\n");
    let mut lior = Person::new(Netcat::Nc, &server);
    lior.types("[NEW]:login:lior:lior_user:lior_password");
    lior.hears("True\n");
    pipe("[NEW]:login:dana:dana_user:dana_password\none\ntwo").heard_in_all("True\n");
    lior.hears("[dana - disconnected from the server!]\n");
    lior.types("exit()");
    lior.heard_in_all(
        "True\n[dana - connected to the server!]\none - (dana)\ntwo - (dana)\n\
         [dana - disconnected from the server!]\n",
    );
}

#[test]
fn nickname() {
    for (first, second) in pairs() {
        let mut server = Server::start("nickname", &[]).unwrap();
        let mut ana = Person::new(first, &server);
        ana.hears("NICK");
        ana.types("ana");
        ana.hears("ana join the chat room\n");
        let mut bob = Person::new(second, &server);
        bob.hears("NICK");
        bob.types("ana");
        bob.hears("NICK");
        bob.hears("in use\nNICK");
        bob.types("bob");
        bob.hears("bob join the chat room\n");
        ana.hears("bob join the chat room\n");
        ana.types("hello");
        bob.hears("ana: hello\n");
        bob.types("hello yourself");
        ana.hears("bob: hello yourself\n");
        // Netcats differ in what they do at the end of their input.
        end(&mut bob.child);
        ana.hears("bob Left chat room\n");
        server.type_in(b"shutdown\n").unwrap();
        ana.heard_in_all(
            "NICKWelcome to this chatroom!\nana join the chat room\nbob join the chat room\n\
             ana: hello\nbob: hello yourself\nbob Left chat room\nexit_server\n",
        );
    }
}

#[test]
fn relay() {
    for (first, second) in pairs() {
        let mut server = Server::start("relay", &[]).unwrap();
        let mut witness = server.connect().unwrap();
        let mut ana = Person::new(first, &server);
        let mut bob = Person::new(second, &server);
        let line_end = |netcat| if netcat == Netcat::NcatC { "\r\n" } else { "\n" };
        ana.types("ana is here");
        let here = format!("ana is here{}", line_end(first));
        witness.expect(here.as_bytes()).unwrap();
        bob.types("bob is here");
        let here = format!("bob is here{}", line_end(second));
        ana.hears(&here);
        ana.types("hello");
        let hello = format!("hello{}", line_end(first));
        bob.hears(&hello);
        server.type_in(b"shutdown\n").unwrap();
        ana.heard_in_all(&here);
    }
}

#[test]
fn uppercase() {
    for netcat in ALL.into_iter().filter(|netcat| netcat.is_here()) {
        let server = Server::start("uppercase", &[]).unwrap();
        let mut person = Person::new(netcat, &server);
        person.types("hello, straße");
        person.heard_in_all("HELLO, STRASSE\n");
    }
}

/// Bytes that do not repeat, the same ones every time.
struct Noise(u64);

impl Noise {
    fn fill(&mut self, block: &mut [u8]) {
        for word in block.chunks_exact_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            word.copy_from_slice(&self.0.to_ne_bytes());
        }
    }
}

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const BLOCK_BYTES: usize = 64 * 1024;
const BLOCKS: usize = 100_000_000 / BLOCK_BYTES;
/// What the server may need for it. A queue has at most 256 KiB.
const MEMORY_KIB_MAX: u64 = 64 * 1024;
const TRANSFER_WAIT: Duration = Duration::from_secs(120);

/// A hundred megabytes through the relay to two listeners, equal to the last byte.
#[test]
fn relay_of_a_hundred_megabytes() {
    if !Netcat::NcN.is_here() {
        return;
    }
    let began = Instant::now();
    let server = Server::start("relay", &[]).unwrap();
    let mut witness = server.connect().unwrap();
    let mut listeners: Vec<Child> = Vec::new();
    for name in ["one\n", "two\n"] {
        let mut listener = start(Netcat::Nc, &server);
        listener.stdin.as_mut().unwrap().write_all(name.as_bytes()).unwrap();
        witness.expect(name.as_bytes()).unwrap();
        listeners.push(listener);
    }
    drop(witness);
    let mut greeting = [0; 4];
    listeners[0].stdout.as_mut().unwrap().read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"two\n");

    let mut sender = start(Netcat::NcN, &server);
    let mut input = sender.stdin.take().unwrap();
    let writer = thread::spawn(move || {
        let (mut noise, mut block) = (Noise(SEED), vec![0; BLOCK_BYTES]);
        for _ in 0..BLOCKS {
            noise.fill(&mut block);
            input.write_all(&block)?;
        }
        Ok::<(), std::io::Error>(())
    });
    let readers = listeners.iter_mut().map(|listener| {
        let mut output = listener.stdout.take().unwrap();
        thread::spawn(move || {
            let mut noise = Noise(SEED);
            let (mut block, mut expected) = (vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]);
            for number in 0..BLOCKS {
                let read = output.read_exact(&mut block);
                read.map_err(|error| format!("block {number} of {BLOCKS}: {error}"))?;
                noise.fill(&mut expected);
                if block != expected {
                    return Err(format!("block {number}: {}", show(&block)));
                }
            }
            Ok(())
        })
    });
    let readers: Vec<_> = readers.collect();
    let all = || writer.is_finished() && readers.iter().all(thread::JoinHandle::is_finished);
    while !all() && began.elapsed() < TRANSFER_WAIT {
        thread::sleep(Duration::from_millis(20));
    }
    let in_time = all();
    let memory = server.peak_memory_kib();
    // Whoever still waits gets an end.
    end(&mut sender);
    listeners.iter_mut().for_each(end);
    for reader in readers {
        reader.join().unwrap().unwrap_or_else(|why| panic!("{why}\nlog: {}", server.log()));
    }
    writer.join().unwrap().unwrap();
    assert!(in_time, "it took more than {TRANSFER_WAIT:?}");
    match memory {
        Ok(memory) => assert!(memory < MEMORY_KIB_MAX, "the server took {memory} KiB"),
        Err(why) => eprintln!("SKIPPED: memory of the server: {why}"),
    }
    eprintln!("{BLOCKS} blocks in {:?}", began.elapsed());
}

/// Thousands of clients, all connected before the first one speaks.
#[test]
fn uppercase_for_thousands_at_once() {
    const CLIENTS: usize = 3_000;
    let _ = rlimit::increase_nofile_limit(CLIENTS as u64 + 1_000);
    let limit = rlimit::Resource::NOFILE.get_soft().unwrap();
    assert!(limit > CLIENTS as u64 + 100, "only {limit} descriptors");
    let server = Server::start("uppercase", &[]).unwrap();
    let began = Instant::now();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.connect().unwrap()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let end = if number % 2 == 0 { "\n" } else { "" };
        client.send(format!("client {number}{end}").as_bytes()).unwrap();
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let end = if number % 2 == 0 { "\n" } else { "" };
        client.expect(format!("CLIENT {number}{end}").as_bytes()).unwrap();
        client.expect_closed().unwrap();
    }
    assert!(began.elapsed() < DEADLINE, "it took {:?}", began.elapsed());
}
