//! The room's decisions, without sockets, clocks or threads.

use std::net::Ipv4Addr;

use std::time::Duration;

use super::*;
use crate::accounts::records::HistoryLimits;
use crate::accounts::{SignUpRefusal, Verdict};

mod commands;
mod sanctions;

const HERE: Origin = Origin { address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), exempt: false };
const EXEMPT: Origin = Origin { exempt: true, ..HERE };
const BURSTS: Framing = Framing::Bursts { provisional: false };

struct Play {
    room: Room,
    now: Instant,
}

fn guest(slot: u32) -> ClientId {
    ClientId { slot, generation: 7 }
}

impl Play {
    fn new(protocol: Protocol) -> Self {
        Self::keeping(protocol, 0)
    }

    /// In a room that keeps so many messages.
    fn keeping(protocol: Protocol, messages: usize) -> Self {
        let log_in_wait = limits::LOGIN_WAIT;
        let history = HistoryLimits { messages, bytes: 100_000 };
        let limits = RoomLimits {
            frame_bytes_max: 8_192,
            log_in_wait,
            per_address: 3,
            history,
            history_replayed: 2,
            reply_bytes_max: limits::REPLY_BYTES_MAX,
        };
        Self { room: Room::new(protocol, limits), now: Instant::now() }
    }

    fn tell(&mut self, client: ClientId, input: Input<'_>) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.room.handle(client, input, self.now, &mut effects);
        effects
    }

    fn connect(&mut self, slot: u32) -> ClientId {
        self.tell(guest(slot), Input::Connected(EXEMPT));
        guest(slot)
    }

    fn say(&mut self, client: ClientId, text: &str) -> Vec<Effect> {
        self.tell(client, Input::Frame(EXEMPT, Decoded::Text(text), Framing::Lines))
    }

    fn log_in(&mut self, slot: u32, name: &str) -> ClientId {
        let client = self.connect(slot);
        self.say(client, &format!("[NEW]:login:{name}:{name}user:secret"));
        self.tell(client, Input::Verdict(Verdict::LoggedIn(account(slot))));
        client
    }

    fn tick_after(&mut self, wait: Duration) -> Vec<Effect> {
        self.now += wait;
        let mut effects = Vec::new();
        self.room.tick(self.now, &mut effects);
        effects
    }
}

fn account(slot: u32) -> AccountId {
    AccountId(i64::from(slot) + 1)
}

fn left(name: &str) -> Effect {
    Effect::Broadcast { event: Event::Left(name.into()), from: None }
}

#[test]
fn a_log_in_is_welcomed_then_announced_to_the_others() {
    let mut play = Play::new(Protocol::Accounts);
    let lior = play.connect(0);
    let effects = play.say(lior, "[NEW]:login:lior:lioruser:secret");
    assert!(matches!(effects[..], [Effect::Submit(client, Job::LogIn(_))] if client == lior));
    assert!(!play.room.listens_to(lior), "frames wait for the verdict");
    let effects = play.tell(lior, Input::Verdict(Verdict::LoggedIn(AccountId(1))));
    let joined = Effect::Broadcast { event: Event::Joined("lior".into()), from: None };
    assert_eq!(
        effects,
        [
            Effect::Log(lior, LogLine::Connected("lior".into())),
            Effect::Reply(lior, Reply::Welcome),
            joined,
            Effect::Enter(lior),
            Effect::Resume(lior),
        ]
    );
}

#[test]
fn an_account_is_in_one_session_and_free_after_it() {
    let mut play = Play::new(Protocol::Accounts);
    let first = play.log_in(0, "lior");
    assert!(play.room.has(first));
    let second = play.log_in(1, "lior");
    assert!(!play.room.has(second), "in use");
    let effects = play.tell(first, Input::Ended(EXEMPT));
    assert!(effects.contains(&left("lior")));
    let third = play.log_in(2, "lior");
    assert!(play.room.has(third));
}

#[test]
fn a_rival_is_who_is_in_the_room_under_the_same_name() {
    let mut play = Play::new(Protocol::Accounts);
    let old = play.log_in(0, "lior");
    let other = play.log_in(1, "dana");
    let newcomer = play.connect(2);
    assert_eq!(play.room.rival(newcomer), None, "not on trial");
    play.say(newcomer, "[NEW]:login:lior:lioruser:secret");
    assert_eq!(play.room.rival(newcomer), Some(old));
    assert_eq!(play.room.rival(old), None, "its own");
    let stranger = play.connect(3);
    play.say(stranger, "[NEW]:login:noam:noamuser:secret");
    assert_eq!(play.room.rival(stranger), None);
    let beginner = play.connect(4);
    play.say(beginner, "[NEW]:signup:dana:danauser:secret:<socket>");
    assert_eq!(play.room.rival(beginner), None, "signs up");
    play.tell(other, Input::Ended(EXEMPT));
    play.tell(old, Input::Ended(EXEMPT));
    assert_eq!(play.room.rival(newcomer), None, "gone");
}

#[test]
fn who_is_lost_makes_way_for_the_next_session_of_its_account() {
    let mut play = Play::new(Protocol::Accounts);
    let old = play.log_in(0, "lior");
    let newcomer = play.connect(1);
    play.say(newcomer, "[NEW]:login:lior:lioruser:secret");
    let mut effects = Vec::new();
    play.room.close(old, &mut effects);
    effects.extend(play.tell(newcomer, Input::Verdict(Verdict::LoggedIn(account(0)))));
    let joined = Effect::Broadcast { event: Event::Joined("lior".into()), from: None };
    let notices: Vec<_> =
        effects.iter().filter(|effect| matches!(effect, Effect::Broadcast { .. })).collect();
    assert_eq!(notices, [&left("lior"), &joined]);
    assert!(play.room.has(newcomer) && !play.room.has(old));
    assert_eq!(play.say(old, "still here?"), [], "nothing further is heard of it");
    assert_eq!(play.tell(old, Input::Ended(EXEMPT)), []);
    let late = play.log_in(2, "lior");
    assert!(!play.room.has(late), "the name is the newcomer's");
}

#[test]
fn a_departure_is_announced_once_however_often_the_connection_ends() {
    let mut play = Play::new(Protocol::Accounts);
    let lior = play.log_in(0, "lior");
    let effects = play.say(lior, "exit()");
    assert_eq!(effects.iter().filter(|effect| **effect == left("lior")).count(), 1);
    assert!(effects.contains(&Effect::Close(lior)));
    assert_eq!(play.tell(lior, Input::Ended(EXEMPT)), [Effect::Emptied]);
    assert_eq!(play.tell(lior, Input::Ended(EXEMPT)), []);
}

#[test]
fn a_verdict_for_a_connection_that_has_gone_is_dropped() {
    let mut play = Play::new(Protocol::Accounts);
    let gone = play.connect(0);
    play.say(gone, "[NEW]:login:lior:lioruser:secret");
    play.tell(gone, Input::Ended(EXEMPT));
    let newcomer = ClientId { generation: 8, ..gone };
    play.tell(newcomer, Input::Connected(EXEMPT));
    assert_eq!(play.tell(gone, Input::Verdict(Verdict::LoggedIn(AccountId(1)))), []);
    assert!(!play.room.has(newcomer), "meant for who had the place before");
}

#[test]
fn a_refused_log_in_is_false_and_closed() {
    let mut play = Play::new(Protocol::Accounts);
    let lior = play.connect(0);
    play.say(lior, "[NEW]:login:lior:lioruser:wrong");
    let effects = play.tell(lior, Input::Verdict(Verdict::LogInRefused));
    assert_eq!(effects, [Effect::Reply(lior, Reply::LogInRefused), Effect::Close(lior)]);
}

#[test]
fn a_refused_sign_up_tells_why_in_lines_and_nothing_in_bursts() {
    for (framing, told) in [(Framing::Lines, true), (BURSTS, false)] {
        let mut play = Play::new(Protocol::Accounts);
        let lior = play.connect(0);
        let frame = Decoded::Text("[NEW]:signup:lior:lioruser:secret:<socket>");
        play.tell(lior, Input::Frame(EXEMPT, frame, framing));
        let refused = Verdict::SignUpRefused(SignUpRefusal::UserNameTaken);
        let effects = play.tell(lior, Input::Verdict(refused));
        assert_eq!(effects.iter().any(|effect| matches!(effect, Effect::Reply(..))), told);
        assert_eq!(effects.last(), Some(&Effect::Close(lior)));
    }
}

#[test]
fn forged_and_malformed_frames_reach_nobody() {
    let mut play = Play::new(Protocol::Accounts);
    let lior = play.log_in(0, "lior");
    for frame in [
        "[ACTIVE]:dana:danauser:secret:<socket>:hello",
        "[ACTIVE]:lior:lioruser:wrong:<socket>:hello",
        "[ACTIVE]:lior:lioruser:secret:no message",
        "[ACTIVE]:lior:lioruser:secret:s[ACTIVE]:lior:lioruser:secret:s:hello",
        "[NEW]:login:lior:lioruser:secret",
        " [new]:login:lior:lioruser:secret",
        "\u{1b}[ACTIVE]:lior:lioruser:secret:<socket>:hello",
        "\u{200b}[Active]:lior:lioruser:secret",
        "/unknown",
    ] {
        let effects = play.say(lior, frame);
        assert!(matches!(effects[..], [Effect::Reply(_, Reply::Error(_))]), "{frame}: {effects:?}");
    }
    for frame in ["", " ", "\u{1b}[0m", "[ACTIVE]:lior:lioruser:secret:<socket>:"] {
        assert_eq!(play.say(lior, frame), [], "{frame:?}");
    }
}

#[test]
fn messages_are_carried_with_their_colons_and_slashes() {
    let mut play = Play::new(Protocol::Accounts);
    let lior = play.log_in(0, "lior");
    for (frame, said) in [
        ("plain: text", "plain: text"),
        ("[ACTIVE]:lior:lioruser:secret:<socket>:a:b:c", "a:b:c"),
        ("[ACTIVE]:lior:lioruser:secret::empty socket", "empty socket"),
        ("//slash", "/slash"),
        ("re\u{202e}versed", "reversed"),
    ] {
        let event = Event::Said { name: "lior".into(), text: said.into() };
        assert_eq!(play.say(lior, frame), [Effect::Broadcast { event, from: Some(lior) }]);
    }
}

#[test]
fn strangers_are_closed_in_time_and_lines_are_told_why() {
    let mut play = Play::new(Protocol::Accounts);
    let (silent, typing, waiting) = (play.connect(0), play.connect(1), play.connect(2));
    play.say(typing, "hello?");
    play.say(waiting, "[NEW]:login:lior:lioruser:secret");
    assert_eq!(play.tick_after(limits::LOGIN_WAIT - Duration::from_millis(1)), []);
    let effects = play.tick_after(Duration::from_millis(1));
    let timeout = Refusal::LogInTimeout(limits::LOGIN_WAIT.as_secs());
    assert_eq!(
        effects,
        [
            Effect::Close(silent),
            Effect::Reply(typing, Reply::Error(timeout)),
            Effect::Close(typing),
        ],
        "the wait for a verdict does not count"
    );
}

#[test]
fn an_address_that_guesses_waits_unread_and_is_told_no_lie() {
    let mut play = Play::new(Protocol::Accounts);
    for attempt in 0..=limits::LOGIN_FAILURES_BURST {
        let client = guest(attempt);
        play.tell(client, Input::Connected(Origin { exempt: false, ..HERE }));
        let frame = Decoded::Text("[NEW]:login:lior:lioruser:guess");
        let effects = play.tell(client, Input::Frame(HERE, frame, Framing::Lines));
        if attempt < limits::LOGIN_FAILURES_BURST {
            assert!(matches!(effects[..], [Effect::Submit(..)]));
            play.tell(client, Input::Verdict(Verdict::LogInRefused));
            play.tell(client, Input::Ended(HERE));
        } else {
            assert_eq!(effects, []);
            let effects = play.tick_after(limits::LOGIN_FAILURE_INTERVAL);
            assert!(matches!(effects[..], [Effect::Submit(..)]), "its turn has come");
        }
    }
}

#[test]
fn jobs_are_bounded_and_begun_in_order() {
    let mut play = Play::new(Protocol::Accounts);
    let most = limits::ACCOUNT_JOBS_MAX as u32;
    let begun = |effects: &[Effect]| effects.iter().any(|e| matches!(e, Effect::Submit(..)));
    for slot in 0..most + 2 {
        let client = play.connect(slot);
        let effects = play.say(client, &format!("[NEW]:login:n{slot}:user{slot}:secret"));
        assert_eq!(begun(&effects), slot < most);
    }
    play.tell(guest(most), Input::Ended(EXEMPT));
    let effects = play.tell(guest(0), Input::Verdict(Verdict::LogInRefused));
    let next = effects.iter().find_map(|effect| match effect {
        Effect::Submit(client, _) => Some(*client),
        _ => None,
    });
    assert_eq!(next, Some(guest(most + 1)), "the one before it has gone");
}

#[test]
fn a_removed_account_ends_its_session_and_its_verdict() {
    let mut play = Play::new(Protocol::Accounts);
    let lior = play.log_in(0, "lior");
    let mut effects = Vec::new();
    play.room.account_removed(account(0), &mut effects);
    assert!(effects.contains(&left("lior")) && effects.contains(&Effect::Close(lior)));
    play.room.account_removed(account(1), &mut effects);
    let late = play.log_in(1, "dana");
    assert!(!play.room.has(late), "removed while the verdict was under way");
}

#[test]
fn an_address_has_so_many_connections() {
    let mut play = Play::new(Protocol::Accounts);
    for slot in 0..4 {
        let effects = play.tell(guest(slot), Input::Connected(HERE));
        assert_eq!(effects.contains(&Effect::Drop(guest(slot))), slot == 3);
    }
    play.tell(guest(3), Input::Ended(HERE));
    play.tell(guest(0), Input::Ended(HERE));
    assert_eq!(play.tell(guest(4), Input::Connected(HERE)), []);
}

#[test]
fn a_nickname_that_is_taken_is_asked_again_in_lines_and_closed_in_bursts() {
    let mut play = Play::new(Protocol::Nickname);
    let dana = play.connect(0);
    play.say(dana, "dana");
    for (slot, framing) in [(1, Framing::Lines), (2, BURSTS)] {
        let other = play.connect(slot);
        let effects = play.tell(other, Input::Frame(EXEMPT, Decoded::Text("Dana: "), framing));
        let refused = Effect::Reply(other, Reply::Error(Refusal::NameInUse));
        let then = match framing {
            Framing::Lines => Effect::Reply(other, Reply::Greeting),
            _ => Effect::Close(other),
        };
        assert_eq!(effects, [refused, then]);
    }
}

#[test]
fn nobody_speaks_under_anothers_nickname_nor_forges_a_notice() {
    let mut play = Play::new(Protocol::Nickname);
    let bob = play.connect(0);
    play.say(bob, "bob Left");
    for (frame, heard) in [
        ("bob Left: hello", "bob Left: hello"),
        ("bob Left waves", "bob Left waves"),
        ("bob Left chat room", "bob Left: bob Left chat room"),
        ("bob Left join the chat room", "bob Left: bob Left join the chat room"),
        ("dana: hello", "bob Left: dana: hello"),
        ("NICK", "bob Left: NICK"),
        ("exit_server", "bob Left: exit_server"),
    ] {
        let event = Event::Said { name: "bob Left".into(), text: heard.into() };
        assert_eq!(play.say(bob, frame), [Effect::Broadcast { event, from: Some(bob) }]);
    }
}

#[test]
fn shutting_down_tells_who_is_in_the_room_and_closes_everyone() {
    let mut play = Play::new(Protocol::Accounts);
    let (lior, stranger) = (play.log_in(0, "lior"), play.connect(1));
    let mut effects = Vec::new();
    play.room.shut_down(&mut effects);
    let told: Vec<_> =
        effects.iter().filter(|e| matches!(e, Effect::Reply(..) | Effect::Close(_))).collect();
    assert_eq!(
        told,
        [&Effect::Reply(lior, Reply::ShuttingDown), &Effect::Close(lior), &Effect::Close(stranger)]
    );
    assert_eq!(play.say(lior, "anyone?"), [], "nothing further is heard");
}

#[test]
fn what_waits_for_a_job_is_forgotten_when_it_leaves() {
    let mut play = Play::new(Protocol::Accounts);
    for slot in 0..limits::ACCOUNT_JOBS_MAX as u32 {
        let client = play.connect(slot);
        play.say(client, &format!("[NEW]:login:n{slot}:user{slot}:secret"));
    }
    for generation in 0..1_000 {
        let client = ClientId { slot: 1_000, generation };
        play.tell(client, Input::Connected(EXEMPT));
        play.say(client, "[NEW]:login:lior:lioruser:secret");
        play.tell(client, Input::Ended(EXEMPT));
    }
    assert!(play.room.queue.len() <= limits::ACCOUNT_JOBS_MAX + 1);
    assert_eq!(play.room.queued, 0);
}

#[test]
fn what_looks_like_a_notice_is_one() {
    let mut play = Play::new(Protocol::Nickname);
    for (slot, name, frame) in [
        (0, "bob Left", "bob Left chat room\u{200b}"),
        (1, "ana", "ana maria\u{a789} hi"),
        (2, "Welcome", "Welcome to this chatroom!"),
        (3, "exit_server", "exit_server "),
    ] {
        let client = play.connect(slot);
        play.say(client, name);
        let effects = play.say(client, frame);
        let heard = matches!(&effects[..], [Effect::Broadcast { event: Event::Said { text, .. }, .. }]
            if text.starts_with(&format!("{name}: ")));
        assert!(heard, "{effects:?}");
    }
}
