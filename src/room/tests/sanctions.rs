//! Whom the operator bans, mutes and throws out.

use super::*;
use crate::accounts::records::{Sanction, SanctionKind, SanctionTarget};

impl Play {
    fn impose(&mut self, kind: SanctionKind, target: SanctionTarget, until: Option<i64>) {
        let sanction = Sanction { kind, target, until };
        assert!(self.room.change_sanctions(&SanctionChange::Impose(sanction)));
    }
}

fn name(name: &str) -> SanctionTarget {
    SanctionTarget::Name(name.into())
}

fn is_said(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Broadcast { .. }))
}

#[test]
fn who_is_muted_hears_and_is_not_heard_until_it_is_over() {
    let mut play = Play::new(Protocol::Accounts);
    play.room.set_wall_clock(1_000);
    let lior = play.log_in(0, "lior");
    let ana = play.log_in(1, "ana");
    play.impose(SanctionKind::Mute, name("LIOR"), Some(1_600));
    for message in ["hi", "/me waves", "/msg ana hi"] {
        let effects = play.say(lior, message);
        let refusal = Reply::Error(Refusal::Muted(Some(600)));
        assert_eq!(effects, [Effect::Reply(lior, refusal)], "{message}");
    }
    assert!(is_said(&play.say(ana, "hi")));
    assert_eq!(Refusal::Muted(Some(600)).to_string(), "the operator has muted you for another 10m");
    play.room.set_wall_clock(1_600);
    assert!(is_said(&play.say(lior, "hi")));
}

#[test]
fn who_is_banned_is_refused_like_anybody() {
    let mut play = Play::new(Protocol::Accounts);
    play.impose(SanctionKind::Ban, name("lior"), None);
    let lior = play.connect(0);
    play.say(lior, "[NEW]:login:Lior:lioruser:secret");
    let effects = play.tell(lior, Input::Verdict(Verdict::LoggedIn(account(0))));
    assert_eq!(effects, [Effect::Reply(lior, Reply::LogInRefused), Effect::Close(lior)]);
    let lift = SanctionChange::Lift(SanctionKind::Ban, name("Lior"));
    assert!(play.room.change_sanctions(&lift));
    let lior = play.log_in(1, "lior");
    assert!(play.room.has(lior));
}

#[test]
fn a_banned_nickname_may_be_changed_for_another() {
    let mut play = Play::new(Protocol::Nickname);
    play.impose(SanctionKind::Ban, name("lior"), None);
    let lior = play.connect(0);
    let effects = play.say(lior, "Lior");
    let banned = Effect::Reply(lior, Reply::Error(Refusal::Banned));
    assert_eq!(effects, [banned, Effect::Reply(lior, Reply::Greeting)]);
    play.say(lior, "dana");
    assert!(play.room.has(lior));
}

#[test]
fn a_banned_address_does_not_get_in_exempt_or_not() {
    let mut play = Play::new(Protocol::Accounts);
    play.impose(SanctionKind::Ban, SanctionTarget::Address(HERE.address), None);
    for origin in [HERE, EXEMPT] {
        assert!(!play.room.admits_address(origin));
        let effects = play.tell(guest(0), Input::Connected(origin));
        assert_eq!(effects, [Effect::Drop(guest(0))]);
        play.tell(guest(0), Input::Ended(origin));
    }
}

#[test]
fn who_is_thrown_out_is_told_why_and_its_name_is_free() {
    let mut play = Play::new(Protocol::Accounts);
    let lior = play.log_in(0, "lior");
    let mut effects = Vec::new();
    play.room.expel(lior, Refusal::Kicked, &mut effects);
    assert_eq!(effects[0], Effect::Reply(lior, Reply::Error(Refusal::Kicked)));
    assert!(effects.contains(&left("lior")) && effects.contains(&Effect::Close(lior)));
    assert_eq!(play.say(lior, "I am still here"), []);
    let again = play.log_in(1, "lior");
    assert!(play.room.has(again));
    assert_eq!(play.room.find("LIOR"), Some(again));
}

#[test]
fn who_is_being_closed_has_had_its_last_words() {
    let mut play = Play::new(Protocol::Accounts);
    let lior = play.log_in(0, "lior");
    play.say(lior, "exit()");
    let mut effects = Vec::new();
    play.room.expel(lior, Refusal::Banned, &mut effects);
    assert_eq!(effects, []);
}
