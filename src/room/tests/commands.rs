//! What people ask with a slash.

use super::*;
use crate::accounts::records::Said;

fn said(name: &str, text: &str) -> Event {
    Event::Said { name: name.into(), text: text.into() }
}

/// The replies in `effects`, and to whom.
fn replies(effects: Vec<Effect>) -> Vec<(ClientId, Reply)> {
    let reply = |effect| match effect {
        Effect::Reply(client, reply) => Some((client, reply)),
        _ => None,
    };
    effects.into_iter().filter_map(reply).collect()
}

fn error(client: ClientId, refusal: Refusal) -> Vec<(ClientId, Reply)> {
    vec![(client, Reply::Error(refusal))]
}

/// What of `effects` is replayed: the texts.
fn replayed(effects: &[Effect]) -> Vec<&str> {
    let history = effects.iter().find_map(|effect| match effect {
        Effect::Reply(_, Reply::History(history)) => Some(history),
        _ => None,
    });
    history.into_iter().flatten().map(|said| &*said.text).collect()
}

#[test]
fn a_private_word_reaches_the_longest_name_that_is_here_and_nobody_else() {
    let mut play = Play::new(Protocol::Accounts);
    let lior = play.log_in(0, "lior");
    let ana = play.log_in(1, "Ana");
    let maria = play.log_in(2, "Ana Maria");
    let private =
        |to, text: &str| vec![(to, Reply::Private { name: "lior".into(), text: text.into() })];
    let effects = play.say(lior, "/msg ana maria hi  there");
    assert!(effects.iter().all(|effect| matches!(effect, Effect::Reply(..))), "{effects:?}");
    assert_eq!(replies(effects), private(maria, "hi  there"));
    assert_eq!(replies(play.say(lior, "/msg \"Ana\" maria hi")), private(ana, "maria hi"));
    assert_eq!(replies(play.say(lior, "/msg Ana Mario hi")), private(ana, "Mario hi"));
    assert_eq!(replies(play.say(lior, "/msg bob hi")), error(lior, Refusal::NobodyHere));
    let usage = Refusal::Usage("/msg NAME text");
    assert_eq!(replies(play.say(lior, "/msg Ana")), error(lior, usage));
    let secret = replies(play.say(lior, "/msg Ana [NEW]:login:lior:lioruser:secret"));
    assert_eq!(secret, error(lior, Refusal::HoldsCredentials));
    play.tell(maria, Input::Ended(EXEMPT));
    assert_eq!(replies(play.say(lior, "/msg Ana Maria hi")), private(ana, "Maria hi"));
}

#[test]
fn who_is_here_is_listed_by_name() {
    let mut play = Play::new(Protocol::Accounts);
    let lior = play.log_in(0, "lior");
    play.log_in(1, "Ana");
    play.connect(2);
    let names = vec!["Ana".into(), "lior".into()];
    assert_eq!(replies(play.say(lior, "/who")), [(lior, Reply::Who { names, total: 2 })]);
}

#[test]
fn what_is_done_is_said_under_the_name_of_who_does_it() {
    let mut play = Play::new(Protocol::Accounts);
    let lior = play.log_in(0, "lior");
    let effects = play.say(lior, "/me waves - (ana)");
    let event = said("lior", "* lior waves - (ana)");
    assert!(effects.contains(&Effect::Broadcast { event, from: Some(lior) }), "{effects:?}");
}

#[test]
fn the_latest_is_replayed_to_lines_and_not_to_bursts() {
    let mut play = Play::keeping(Protocol::Accounts, 100);
    play.room.set_wall_clock(1_000);
    let lior = play.log_in(0, "lior");
    for text in ["one", "/msg lior private", "two", "/who", "three"] {
        play.say(lior, text);
    }
    let new = "[NEW]:login:ana:anauser:secret:x";
    let ana = play.connect(1);
    play.say(ana, new);
    let effects = play.tell(ana, Input::Verdict(Verdict::LoggedIn(account(1))));
    assert_eq!(replayed(&effects), ["two", "three"], "two were asked for");
    let place = |wanted: &dyn Fn(&Effect) -> bool| effects.iter().position(wanted);
    let welcome = place(&|effect| *effect == Effect::Reply(ana, Reply::Welcome));
    let history = place(&|effect| matches!(effect, Effect::Reply(_, Reply::History(_))));
    let enter = place(&|effect| *effect == Effect::Enter(ana));
    assert!(welcome < history && history < enter, "{effects:?}");
    assert_eq!(replayed(&play.say(ana, "/history 3")), ["one", "two", "three"]);

    play.tell(ana, Input::Ended(EXEMPT));
    let ana = play.connect(1);
    play.tell(ana, Input::Frame(EXEMPT, Decoded::Text(new), BURSTS));
    let effects = play.tell(ana, Input::Verdict(Verdict::LoggedIn(account(1))));
    assert!(play.room.has(ana));
    assert_eq!(replayed(&effects), Vec::<&str>::new(), "a reference client would mistake it");
}

#[test]
fn what_was_kept_is_gone_on_from() {
    let mut play = Play::keeping(Protocol::Accounts, 100);
    let kept = Said { number: 9, at: 5, name: "dana".into(), text: "before".into() };
    play.room.restore(Kept { history: vec![kept], sanctions: Vec::new() });
    let lior = play.log_in(0, "lior");
    let effects = play.say(lior, "after");
    let numbers: Vec<i64> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Record { said, .. } => Some(said.number),
            _ => None,
        })
        .collect();
    assert_eq!(numbers, [10]);
    assert_eq!(replayed(&play.say(lior, "/history")), ["before", "after"]);
}

#[test]
fn while_a_password_is_changed_what_is_said_waits() {
    let mut play = Play::new(Protocol::Accounts);
    let lior = play.log_in(0, "lior");
    let effects = play.say(lior, "/password secret:newer");
    let Some(Effect::Submit(_, Job::ChangePassword(change))) = effects.first() else {
        panic!("{effects:?}");
    };
    assert_eq!((change.account, change.new.as_str()), (account(0), "newer"));
    assert!(play.room.has(lior) && !play.room.listens_to(lior));
    let effects = play.tell(lior, Input::Verdict(Verdict::PasswordChanged));
    assert_eq!(effects, [Effect::Reply(lior, Reply::PasswordChanged), Effect::Resume(lior)]);
    assert!(play.room.listens_to(lior));
    for (verdict, refusal) in
        [(Verdict::PasswordRefused, Refusal::WrongPassword), (Verdict::Failed, Refusal::TryAgain)]
    {
        play.say(lior, "/password secret:newer");
        let effects = play.tell(lior, Input::Verdict(verdict));
        assert_eq!(replies(effects), error(lior, refusal));
        assert!(play.room.has(lior) && play.room.listens_to(lior));
    }
}

#[test]
fn guessing_a_password_by_changing_it_is_counted() {
    let mut play = Play::new(Protocol::Accounts);
    let lior = play.log_in(0, "lior");
    let change = "/password guess:newer";
    for _ in 0..limits::LOGIN_FAILURES_BURST {
        let effects = play.tell(lior, Input::Frame(HERE, Decoded::Text(change), Framing::Lines));
        assert!(matches!(effects[..], [Effect::Submit(..)]), "{effects:?}");
        play.tell(lior, Input::Verdict(Verdict::PasswordRefused));
    }
    let effects = play.tell(lior, Input::Frame(HERE, Decoded::Text(change), Framing::Lines));
    assert_eq!(effects, [], "it waits");
    assert!(!play.room.listens_to(lior));
    let effects = play.tick_after(limits::LOGIN_FAILURE_INTERVAL);
    assert!(matches!(effects[..], [Effect::Submit(..)]), "{effects:?}");
    let effects = play.tell(lior, Input::Ended(EXEMPT));
    assert!(effects.contains(&left("lior")));
    assert_eq!(play.tell(lior, Input::Verdict(Verdict::PasswordChanged)), []);
}

#[test]
fn a_command_that_a_space_makes_none_is_not_said_with_its_password() {
    let mut play = Play::new(Protocol::Accounts);
    let lior = play.log_in(0, "lior");
    for message in [" /password secret:newer", "\u{200b}/PASSWORD secret:newer"] {
        let effects = play.say(lior, message);
        assert_eq!(replies(effects), error(lior, Refusal::HoldsCredentials), "{message:?}");
    }
}
