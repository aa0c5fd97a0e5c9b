//! What a real server makes of frames that are split, forged, or meant to deceive.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on must stop"
)]

mod process_support;

use std::path::Path;

use process_support::{PASSWORD, Peer, Room, joined, left, new, said};

#[test]
fn frames_split_or_merged_anywhere() {
    let room = Room::with_accounts(2, &[]);
    let mut witness = room.member(0);
    let hello = "[ACTIVE]:name1:user1:secret:<socket.socket fd=3>:gr\u{fc}\u{df} dich: \u{1f600}";
    let session = format!("{}\r\n\n{hello}\nplain words\nexit()\n", new("login", 1, PASSWORD));
    let bytes = session.as_bytes();
    let mut splits: Vec<Vec<&[u8]>> =
        (1..bytes.len()).map(|at| [&bytes[..at], &bytes[at..]].to_vec()).collect();
    splits.push(vec![bytes]);
    splits.push(bytes.chunks(1).collect());
    for pieces in splits {
        let mut peer = Peer::connect(&room);
        for piece in pieces {
            peer.send(piece);
        }
        witness.hears(&joined(1));
        witness.hears(&said("gr\u{fc}\u{df} dich: \u{1f600}", 1));
        witness.hears(&said("plain words", 1));
        witness.hears(&left(1));
        peer.hears("True");
        peer.ends();
    }
}

#[test]
fn escape_control_and_bidi_characters_are_removed_from_text_and_refused_in_names() {
    let room = Room::with_accounts(2, &[]);
    let mut members = room.members(2);
    members[0].say("\u{1b}[31mred\u{7}\u{202e}der\u{1b}]0;title\u{7}\tend\u{9b}2J");
    let heard = members[1].line().unwrap();
    assert!(heard.starts_with("red") && heard.ends_with(" - (name0)"), "{heard:?}");
    assert!(!heard.chars().any(|c| c.is_control() || c == '\u{202e}'), "{heard:?}");
    assert!(!heard.contains("[31m"), "{heard:?}");
    // What is empty then is not said at all.
    members[0].say("\u{1b}[2J\u{202e}");
    members[0].say("a family: \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}");
    members[1].hears(&said("a family: \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}", 0));
    for name in ["na\u{1b}[31mme", "na\u{202e}me", "na\u{200b}me", "na\u{200d}me", "na\u{7}me"] {
        let mut peer = Peer::connect(&room);
        peer.say(&format!("[NEW]:signup:{name}:user9:{PASSWORD}"));
        let answer = peer.line().unwrap();
        assert!(answer.starts_with("[ERROR] "), "{name:?}: {answer}");
        peer.ends();
    }
}

#[test]
fn a_name_that_looks_like_anothers_is_refused_at_sign_up() {
    let room = Room::at(Path::new(":memory:"), &[]);
    let sign_up = |name: &str, user_name: &str| {
        let mut peer = Peer::connect(&room);
        peer.say(&format!("[NEW]:signup:{name}:{user_name}:{PASSWORD}"));
        peer.ends_at_last()
    };
    assert_eq!(sign_up("paypal", "first"), ["Account Created"]);
    let taken = ["[ERROR] that name, or one that looks like it, is taken"];
    for name in ["PayPal", "p\u{430}ypal", "paypa1"] {
        assert_eq!(sign_up(name, "second"), taken, "{name}");
    }
    assert_eq!(sign_up("someone", "FIRST"), ["[ERROR] that user name is taken"]);
    assert_eq!(sign_up("someone", "second"), ["Account Created"]);
}

#[test]
fn colons_in_a_message_are_carried() {
    let room = Room::with_accounts(2, &[]);
    let mut members = room.members(2);
    for text in ["12:30: lunch::", ":", "a [ACTIVE]:b", "http://[::1]:80/"] {
        members[0].say(text);
        members[1].hears(&said(text, 0));
        members[0].say(&format!("[ACTIVE]:name0:user0:secret:socket:{text}"));
        members[1].hears(&said(text, 0));
    }
}

#[test]
fn a_forged_active_frame_reaches_nobody() {
    let room = Room::with_accounts(3, &[]);
    let mut members = room.members(2);
    let mut stranger = Peer::connect(&room);
    for peer in [&mut stranger, &mut members[1]] {
        for head in ["name0:user0:secret", "name1:user1:wrong", "name2:user2:secret", "::"] {
            peer.say(&format!("[ACTIVE]:{head}::forged"));
            peer.hears("[ERROR] not logged in");
        }
    }
    members[1].say("not forged");
    members[0].hears(&said("not forged", 1));
}

#[test]
fn a_wrong_log_in_is_told_the_same_whatever_is_wrong() {
    let room = Room::with_accounts(2, &[]);
    let _in_use = room.member(1);
    for line in [
        new("login", 0, "wrong"),
        new("login", 9, PASSWORD),
        new("login", 1, PASSWORD),
        format!("[NEW]:login:name1:user0:{PASSWORD}"),
        format!("[NEW]:login:name0:USER0:{PASSWORD}"),
        "[NEW]:login:x".to_owned(),
        new("login", 0, "no"),
    ] {
        let mut peer = Peer::connect(&room);
        peer.say(&line);
        assert_eq!(peer.rest(), "False\n", "{line}");
        let mut peer = Peer::connect(&room);
        peer.send(format!("{line}:<socket.socket fd=3>").as_bytes());
        if line != "[NEW]:login:x" {
            assert_eq!(peer.rest(), "False", "{line}");
        }
    }
}
