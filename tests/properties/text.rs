//! Cleaning, names and parsing.

use std::borrow::Cow;

use chinwag::accounts::Credentials;
use chinwag::protocol::framing::{Decoded, FrameError, Framing};
use chinwag::protocol::text::{Field, NameKeys, check, clean};
use chinwag::protocol::{Protocol, Request, Speaker};
use proptest::prelude::*;
use zeroize::Zeroizing;

use super::config;

const SECRET: &str = "hunter2hunter2";
const PROTOCOLS: [Protocol; 4] =
    [Protocol::Accounts, Protocol::Nickname, Protocol::Relay, Protocol::Uppercase];
const FRAMINGS: [Framing; 4] = [
    Framing::Undecided,
    Framing::Bursts { provisional: true },
    Framing::Bursts { provisional: false },
    Framing::Lines,
];

fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "[ -~]{0,12}",
        1 => "\\PC{0,6}",
        1 => any::<char>().prop_map(String::from),
        1 => prop::sample::select(vec![
            "\u{1b}", "\u{1b}[", "\u{1b}]", "\u{9b}", "\u{9d}", "\u{7}", "\u{9c}", "\u{1b}\\",
            "\u{202e}", "\u{2066}", "\u{200b}", "\u{200d}", "\u{feff}", "\r", "\t", "\0", "[31m",
            "[NEW]", "[ACTIVE]", ":", "exit()", "/", "//",
        ]).prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

fn account() -> Speaker {
    Speaker::with_account(&Credentials {
        name: "lior".into(),
        user_name: "user".into(),
        password: Zeroizing::new(SECRET.into()),
    })
}

/// What must never reach another's terminal, written down independently.
fn acts_on_terminals(c: char) -> bool {
    let code = u32::from(c);
    code < 0x20
        || (0x7f..=0x9f).contains(&code)
        || (0x202a..=0x202e).contains(&code)
        || (0x2066..=0x2069).contains(&code)
        || code == 0x2028
        || code == 0x2029
}

proptest! {
    #![proptest_config(config(1_024))]

    #[test]
    fn cleaning_removes_what_acts_and_nothing_twice(text in nasty()) {
        let once = clean(&text);
        prop_assert!(!once.contains(acts_on_terminals), "{:?}", once);
        prop_assert_eq!(clean(&once), once.clone());
        prop_assert!(matches!(clean(&once), Cow::Borrowed(_)), "copied although it was clean");
        if !text.contains(|c| acts_on_terminals(c) || !c.is_ascii()) {
            prop_assert_eq!(&*once, &*text);
        }
    }

    #[test]
    fn nothing_is_lost_but_what_is_removed(text in "[a-z \u{e9}\u{6f22}\u{1f600}\u{200d}]{0,40}") {
        prop_assert_eq!(&*clean(&text), &*text);
    }

    #[test]
    fn parsing_never_panics(text in nasty(), framing in 0..4_usize, named in any::<bool>()) {
        for protocol in PROTOCOLS {
            let speaker = match protocol {
                Protocol::Accounts => account(),
                _ => Speaker::with_nickname("lior"),
            };
            let speaker = named.then_some(&speaker);
            for frame in [
                Decoded::Text(&text),
                Decoded::Bytes(text.as_bytes()),
                Decoded::Fault(FrameError::NotUtf8),
                Decoded::Fault(FrameError::TooLong),
            ] {
                if let Request::Say(said) = protocol.parse(&frame, FRAMINGS[framing], speaker) {
                    prop_assert!(!said.contains(acts_on_terminals), "{said:?}");
                    prop_assert!(!said.trim().is_empty());
                    prop_assert!(named, "said by nobody");
                }
            }
        }
    }

    #[test]
    fn what_begins_like_credentials_is_never_said(
        before in "[ \t\u{a0}\u{200b}\u{feff}\u{202e}\u{1b}\r]{0,4}",
        tag in prop::sample::select(vec!["[NEW]", "[new]", "[New]", "[ACTIVE]", "[active]",
            "[AcTiVe]", "[\u{0}NEW]", "[AC\u{202e}TIVE]", "\u{1b}[0m[NEW]"]),
        after in "[:a-z ]{0,12}",
        rest in "[:a-z]{0,12}",
        framing in 0..4_usize,
    ) {
        let frame = format!("{before}{tag}{after}{SECRET}{rest}");
        let speaker = account();
        let request =
            Protocol::Accounts.parse(&Decoded::Text(&frame), FRAMINGS[framing], Some(&speaker));
        if let Request::Say(said) = request {
            prop_assert!(!said.contains(SECRET), "{frame:?} said {said:?}");
        }
    }

    #[test]
    fn a_frame_of_another_session_is_never_said(
        name in "[a-z]{1,8}", user in "[a-z]{4,8}", message in "[a-z ]{1,9}",
    ) {
        prop_assume!(name != "lior" || user != "user");
        let frame = format!("[ACTIVE]:{name}:{user}:{SECRET}:x:{message}");
        let request =
            Protocol::Accounts.parse(&Decoded::Text(&frame), Framing::Lines, Some(&account()));
        prop_assert!(matches!(request, Request::Refuse(_)), "{request:?}");
    }

    #[test]
    fn no_nickname_can_forge_another_or_a_notice(text in nasty()) {
        let speaker = Speaker::with_nickname("bob");
        let request =
            Protocol::Nickname.parse(&Decoded::Text(&text), Framing::Lines, Some(&speaker));
        if let Request::Say(said) = request {
            prop_assert!(said.starts_with("bob:") || said.starts_with("bob "), "{said:?}");
            if said.starts_with("bob ") {
                prop_assert!(!said.ends_with("join the chat room"));
                prop_assert!(!said.ends_with("Left chat room"));
            }
        }
    }

    #[test]
    fn names_within_the_rules_stand_on_the_wire(name in "\\PC{0,40}") {
        for field in [Field::Name, Field::UserName, Field::Password] {
            if check(field, &name).is_ok() {
                let (min, max) = field.chars();
                prop_assert!((min..=max).contains(&name.chars().count()));
                prop_assert!(!name.contains(':') && !name.contains(acts_on_terminals));
                prop_assert_eq!(name.trim(), &name);
                prop_assert!(matches!(clean(&name), Cow::Borrowed(_)));
            }
        }
    }

    #[test]
    fn names_that_differ_in_case_share_a_key(name in "[a-zA-Z\u{e9}\u{df} ]{1,20}") {
        prop_assert_eq!(NameKeys::of(&name).folded, NameKeys::of(&name.to_lowercase()).folded);
        let upper = NameKeys::of(&name.to_uppercase());
        prop_assert_eq!(NameKeys::of(&name).folded, upper.folded);
    }
}
