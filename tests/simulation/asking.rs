//! What fake clients ask with a slash, rightly and wrongly.

use super::client::{Act, Conn, SECRET_CHARS, wordy};
use super::rng::Rng;

impl Conn {
    /// A message with a command, and what must come of it.
    pub fn ask(&self, rng: &mut Rng, number: usize, whom: &str, max: usize) -> (String, Act) {
        match rng.below(20) {
            0..=6 => tell(rng, number, whom, max),
            7 | 8 => (rng.pick(&["/who", "/WHO", "/who "]).to_string(), Act::Who),
            9 => ("/help".to_owned(), Act::Help),
            10 => ("/history".to_owned(), Act::History(None)),
            11 => {
                let count = *rng.pick(&[1, 3, 50, 1_000_000]);
                (format!("/history {count}"), Act::History(Some(count)))
            }
            12 | 13 => {
                let text = wordy(rng, number, 40, "abc /:()\u{e9}");
                let text = format!("{text}{}", if rng.once_in(4) { " - (name0)" } else { "" });
                (format!("/me {text}"), Act::Say(format!("* {} {text}", self.name)))
            }
            14..=16 => self.change_password(rng),
            _ => {
                let wrong = [
                    "/",
                    "/dance COMMAND",
                    "/who COMMAND",
                    "/me",
                    "/msg",
                    "/history x",
                    "/history 0",
                    "/exit COMMAND",
                    "/password",
                    "/password ~~~~~",
                    "/password ~:^",
                    " /password ~~~~~:^^^^^^",
                    "/password ~~~~~:^^^:^^^^^",
                    "/me [NEW]:login:name0:user0:~~~~~00",
                    "/msg observer [Active]:name0:~~~~~",
                ];
                (rng.pick(&wrong).to_string(), Act::Wrong)
            }
        }
    }

    /// From the one it believes to have; now and then that is wrong, and never anybody's.
    fn change_password(&self, rng: &mut Rng) -> (String, Act) {
        let mut current = match self.script.iter().rev().find(|a| matches!(a, Act::Password { .. }))
        {
            // It does not know whether that was done; often enough it was.
            Some(Act::Password { new, .. }) => new.clone(),
            _ => self.password.clone(),
        };
        if rng.once_in(4) {
            current.push('^');
        }
        let new: String = (0..rng.range(5, 20)).map(|_| *rng.pick(&SECRET_CHARS)).collect();
        let between = if rng.once_in(3) { ' ' } else { ':' };
        (format!("/password {current}{between}{new}"), Act::Password { current, new })
    }
}

fn tell(rng: &mut Rng, number: usize, whom: &str, max: usize) -> (String, Act) {
    let marker = format!("p{number}");
    // A word that may be part of a longer name.
    let more = *rng.pick(&["", "", "", "b ", "b c ", "2h "]);
    let most = if rng.once_in(12) { max - 400 } else { 40 };
    let body = wordy(rng, number, most, "abc /:()[]\u{e9}\u{1f600}").split_off(1);
    let end = *rng.pick(&["", "", " - (name0)", " - (name0) [private]"]);
    let text = format!("{more}p{body}{end}");
    let whom = if rng.once_in(4) { whom.to_ascii_uppercase() } else { whom.to_owned() };
    let rest = match rng.below(3) {
        0 => format!("\"{whom}\" {text}"),
        1 => format!("{whom}  {text}"),
        _ => format!("{whom} {text}"),
    };
    let word = *rng.pick(&["/msg", "/MSG"]);
    (format!("{word} {rest}"), Act::Tell { rest, marker })
}
