//! What is typed in `chinwag connect` and what is heard meanwhile, as a terminal shows them.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on must stop"
)]

#[allow(dead_code, reason = "shared with the tests in a pipe")]
mod client_support;

use std::sync::mpsc;

use client_support::person::{LOGGED_IN, Person, lior_at, room};

const COUNT: usize = 1_000;

const LEFT: &str = "\x1b[D";
const RIGHT: &str = "\x1b[C";
const HOME: &str = "\x1b[H";
const END: &str = "\x1b[F";
const DELETE: &str = "\x1b[3~";
const BACKSPACE: &str = "\x7f";
const KILL_WORD: &str = "\x17";

/// Message `n`, as it is to stand on the screen: short and long, narrow and wide, and of
/// every width around that of the screen.
fn message(n: usize, columns: usize) -> String {
    let fill = columns + n % 7 - 3 - format!("{n} - (dana)").len() - 1;
    let text = match n % 8 {
        0 => "ok".to_owned(),
        1 => "漢字かな交じり文。".repeat(1 + n % 11),
        2 => format!("🎉 {} 👩\u{200d}🚀", "🦀".repeat(n % 50)),
        3 => "e\u{301}a\u{308}o\u{302} ".repeat(n % 40).trim_end().to_owned() + ".",
        4 => format!("{}.", "a long line that does not fit into one row ".repeat(n % 9)),
        5 => "漢".repeat(fill / 2) + if fill.is_multiple_of(2) { "" } else { "x" },
        6 => "x".repeat(fill),
        _ => format!("{} end", "w ".repeat(n % 60)),
    };
    format!("{n} {text} - (dana)")
}

/// Keys, and the line that comes of them: typed, corrected in the middle and at both ends.
fn edits() -> (Vec<String>, String) {
    let mut keys: Vec<String> = Vec::new();
    let mut add = |text: &str| keys.extend(text.chars().map(String::from));
    add("hello wurld thes is a line that is");
    add(" longer than the screen, 漢字 included");
    let mut press = |key: &str, times: usize| (0..times).for_each(|_| keys.push(key.to_owned()));
    press(KILL_WORD, 1);
    press(BACKSPACE, 3);
    press(HOME, 1);
    press(RIGHT, 7);
    press(DELETE, 1);
    press("o", 1);
    press(RIGHT, 7);
    press(BACKSPACE, 1);
    press("i", 1);
    press(END, 1);
    press("é", 2);
    press(LEFT, 2);
    press("字", 1);
    press(END, 1);
    press("!", 1);
    (keys, "hello world this is a line that is longer than the screen, 字éé!".to_owned())
}

#[test]
fn a_line_is_typed_undisturbed_while_a_thousand_messages_arrive() {
    for columns in [40, 80] {
        undisturbed(columns);
    }
}

fn undisturbed(columns: u16) {
    let (keys, line) = edits();
    let sent = line.clone();
    let (go, went) = mpsc::channel::<usize>();
    let server = room(move |lior| {
        for n in went {
            lior.send(format!("{}\n", message(n, columns.into())).as_bytes());
        }
        lior.expect(format!("{sent}\n").as_bytes());
        lior.send(b"the last word - (dana)\n");
        lior.expect(b"exit()\n");
        lior.expect_end();
    });
    let mut person = lior_at(&server, &[], &[], (24, columns));
    let mut next = 0;
    for (at, key) in keys.iter().enumerate() {
        // Neither waits for the other.
        let until = COUNT * (at + 1) / keys.len();
        (next..until).for_each(|n| go.send(n).unwrap());
        next = until;
        person.types(key);
    }
    drop(go);
    person.awaits_lines("the last message", |lines| {
        lines.iter().any(|line| *line == message(COUNT - 1, columns.into()))
    });
    person.awaits_input(&line);
    let mut expected = vec![LOGGED_IN.to_owned()];
    expected.extend((0..COUNT).map(|n| message(n, columns.into())));
    same(&person.lines()[..expected.len()], &expected);
    person.types("\r");
    person.sees("the last word");
    person.awaits_input("");
    expected.extend([format!("{line} - (lior)"), "the last word - (dana)".to_owned()]);
    person.types("exit()\r");
    let (_, lines, status) = person.ends_on_screen();
    expected.push("Disconnected.".to_owned());
    same(&lines, &expected);
    assert_eq!(status.exit_code(), 0);
    server.done();
}

#[track_caller]
fn same(lines: &[String], expected: &[String]) {
    for (at, (line, expected)) in lines.iter().zip(expected).enumerate() {
        assert_eq!(line, expected, "line {at} of {}", lines.len());
    }
    assert_eq!(lines.len(), expected.len(), "{:?}", lines.last());
}

/// The cursor stands behind the first `characters` of what is typed, all of them narrow.
#[track_caller]
fn awaits_cursor(person: &Person, column: u16) {
    let until = std::time::Instant::now() + client_support::DEADLINE;
    while person.cursor().1 != column {
        assert!(std::time::Instant::now() < until, "{:?} is not {column}", person.cursor());
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

#[test]
fn the_cursor_stays_where_one_edits() {
    let (go, went) = mpsc::channel::<()>();
    let server = room(move |lior| {
        for () in went {
            lior.send("漢 - (dana)\n".repeat(30).as_bytes());
        }
        lior.expect(b"abXcd\n");
        lior.expect(b"exit()\n");
    });
    let mut person = lior_at(&server, &[], &[], (24, 40));
    person.types("abcd");
    person.types(&LEFT.repeat(2));
    awaits_cursor(&person, 4);
    go.send(()).unwrap();
    person.awaits_lines("thirty", |lines| lines.len() == 32);
    awaits_cursor(&person, 4);
    person.types("X");
    person.awaits_input("abXcd");
    awaits_cursor(&person, 5);
    drop(go);
    person.types("\r");
    person.sees("abXcd - (");
    person.types("\x04");
    person.ends_with(0, "Disconnected.");
    server.done();
}

#[test]
fn every_width_is_taken_off_the_screen_exactly() {
    // Around the end of the first row and of the second, narrow and wide.
    let mut lines: Vec<String> = Vec::new();
    for length in (34..=41).chain(75..=82) {
        lines.push(format!("{}.", "x".repeat(length - 1)));
        lines.push(format!("{}{}", "漢".repeat(length / 2), "y".repeat(length % 2)));
    }
    let said = lines.clone();
    let server = room(move |lior| {
        for line in said {
            lior.expect(format!("{line}\n").as_bytes());
        }
        lior.expect(b"exit()\n");
    });
    let mut person = lior_at(&server, &[], &[], (24, 40));
    let mut expected = vec![LOGGED_IN.to_owned()];
    for line in lines {
        person.types(&line);
        person.awaits_input(&line);
        person.types("\r");
        person.awaits_input("");
        expected.push(format!("{line} - (lior)"));
        same(&person.lines()[..expected.len()], &expected);
    }
    person.types("\x04");
    person.ends_with(0, "Disconnected.");
    server.done();
}

#[test]
fn a_resize_keeps_the_line_and_what_comes() {
    let line = "a line that takes two rows of forty columns, and one of eighty";
    let (go, went) = mpsc::channel::<String>();
    let server = room(move |lior| {
        for text in went {
            lior.send(format!("{text} - (dana)\n").as_bytes());
        }
        lior.expect(format!("{line}!\n").as_bytes());
        lior.expect(b"exit()\n");
    });
    let mut person = lior_at(&server, &[], &[], (24, 40));
    person.types(line);
    person.awaits_input(line);
    let mut expected = Vec::new();
    for (at, size) in [(24, 80), (10, 100), (30, 66), (24, 120)].into_iter().enumerate() {
        person.resize(size);
        let heard = format!("heard after resize {at}");
        go.send(heard.clone()).unwrap();
        person.sees(&heard);
        person.awaits_input(line);
        expected.push(format!("{heard} - (dana)"));
        // Nothing of the line is left where it was before.
        person.awaits_lines("one line, and what was heard", |lines| {
            let heard = lines.iter().filter(|line| line.starts_with("heard"));
            let parts = lines.iter().filter(|part| line.contains(part.trim_start_matches("> ")));
            heard.eq(&expected) && parts.count() == 1
        });
    }
    // Narrower than the line: its rows are counted anew.
    person.resize((24, 40));
    person.types("!");
    person.awaits_input(&format!("{line}!"));
    go.send("narrow".to_owned()).unwrap();
    drop(go);
    person.sees("narrow - (");
    person.types("\r");
    person.sees("eighty! - (");
    person.awaits_lines("said", |lines| {
        lines.ends_with(&["narrow - (dana)".into(), format!("{line}! - (lior)"), "> ".into()])
    });
    person.types("\x04");
    person.ends_with(0, "Disconnected.");
    server.done();
}

fn pasted() -> Vec<String> {
    (0..500).map(|n| format!("line {n} {}", "漢é ".repeat(n % 9)).trim_end().to_owned()).collect()
}

/// Types all lines at once, and wants them to be said one by one.
fn paste(before: &str, between: &str, after: &str) {
    let server = room(|lior| {
        for line in pasted() {
            lior.expect(format!("{line}\n").as_bytes());
        }
        lior.expect(b"typed ahead\n");
        lior.expect(b"exit()\n");
        lior.expect_end();
    });
    let mut person = lior_at(&server, &[], &[], (24, 40));
    person.awaits_input("");
    person.types(&format!("{before}{}{after}typed ahead\rexit()\r", pasted().join(between)));
    let (_, lines, status) = person.ends_on_screen();
    let mut expected = vec![LOGGED_IN.to_owned()];
    expected.extend(pasted().into_iter().map(|line| format!("{line} - (lior)")));
    expected.extend(["typed ahead - (lior)".to_owned(), "Disconnected.".to_owned()]);
    same(&lines, &expected);
    assert_eq!(status.exit_code(), 0);
    server.done();
}

#[test]
fn pasted_lines_are_said_one_by_one() {
    // From a terminal that does not mark what is pasted.
    paste("", "\r", "\r");
    paste("", "\n", "\n");
}

#[test]
fn a_marked_paste_is_said_at_enter() {
    // Few enough for the screen: what left it at the top could not be cleared.
    let server = room(|lior| {
        lior.expect(b"first one\ntwo\n\xe6\xbc\xa2 three - (x) last\n");
        lior.expect(b"exit()\n");
    });
    let mut person = lior_at(&server, &[], &[], (24, 40));
    person.types("first \x1b[200~one\r\ntwo\r\r\n\n漢 three - (x)\n\x1b[201~");
    person.awaits_lines("all of it is edited", |lines| {
        lines.iter().any(|line| line == "漢 three - (x)") && !lines.contains(&"> ".to_owned())
    });
    person.types("\x7f last\r");
    person.sees("three - (x) last - (");
    person.awaits_input("");
    let said = ["first one - (lior)", "two - (lior)", "漢 three - (x) last - (lior)", "> "];
    same(&person.lines()[1..], &said.map(str::to_owned));
    person.types("\x04");
    person.ends_with(0, "Disconnected.");
    server.done();
}

#[test]
fn a_long_marked_paste_loses_nothing() {
    let server = room(|lior| {
        for line in pasted() {
            lior.expect(format!("{line}\n").as_bytes());
        }
        lior.expect(b"exit()\n");
        lior.expect_end();
    });
    let mut person = lior_at(&server, &[], &[], (24, 40));
    person.types(&format!("\x1b[200~{}\x1b[201~\r", pasted().join("\n")));
    person.sees("line 499");
    person.types("\x04");
    person.ends_with(0, "Disconnected.");
    server.done();
}
