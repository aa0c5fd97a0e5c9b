//! A cable is pulled between a real server and a client: nobody says farewell, and the
//! server has to find out. Needs root, network namespaces and half a minute.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on must stop"
)]

mod process_support;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use chinwag::limits;
use process_support::{
    CHEAP, PASSWORD, Peer, Room, chinwag, chinwag_under, directory, fill, joined, left, long, new,
    said, skipped,
};
use tempfile::TempDir;

/// How a cable is pulled.
#[derive(Clone, Copy)]
enum Cut {
    /// At this machine, which finds out soon that nobody is there any more.
    Near,
    /// Beyond a switch: from here all looks well.
    Far,
}

/// A network of its own at the far end of a cable; both go when it is dropped.
struct FarEnd {
    keeper: Child,
    cable: String,
    /// The third number of its addresses: tests run side by side.
    number: u8,
}

impl FarEnd {
    /// Says why when there can be none.
    fn plug_in() -> Result<Self, String> {
        static NUMBERS: AtomicU8 = AtomicU8::new(77);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let keeper = Command::new("unshare").args(["-n", "sleep", "600"]).spawn();
        let keeper = keeper.map_err(|error| format!("no unshare: {error}"))?;
        let cable = format!("chinwag{number}x{}", std::process::id() % 10_000);
        let far = Self { keeper, cable, number };
        let (pid, name) = (far.keeper.id().to_string(), &far.cable);
        // The keeper has its own network a moment after it was started.
        let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net"));
        let until = Instant::now() + Duration::from_secs(5);
        while namespace(&pid).ok() == namespace("self").ok() {
            if Instant::now() > until {
                return Err("this user may make no network".into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let (near, there) = (format!("{}/30", far.here()), format!("10.213.{number}.2/30"));
        for arguments in [
            &["link", "add", name, "type", "veth", "peer", "name", "far", "netns", &pid][..],
            &["addr", "add", &near, "dev", name],
            &["link", "set", name, "up"],
        ] {
            run("ip", arguments)?;
        }
        for arguments in
            [&["ip", "addr", "add", &there, "dev", "far"][..], &["ip", "link", "set", "far", "up"]]
        {
            far.run(arguments)?;
        }
        Ok(far)
    }

    /// This machine's address on the cable.
    fn here(&self) -> String {
        format!("10.213.{}.1", self.number)
    }

    fn runner(&self) -> Vec<String> {
        ["nsenter", "--net", "--target"]
            .map(str::to_owned)
            .into_iter()
            .chain([self.keeper.id().to_string()])
            .collect()
    }

    fn run(&self, command: &[&str]) -> Result<(), String> {
        let runner = self.runner();
        let mut arguments: Vec<&str> = runner[1..].iter().map(String::as_str).collect();
        arguments.extend(command);
        run(&runner[0], &arguments)
    }

    fn pull_the_cable(&self, cut: Cut) {
        let arguments: &[&str] = match cut {
            Cut::Near => &["ip", "link", "set", "far", "down"],
            // Whoever has no address hears and says nothing, but the cable is plugged in.
            Cut::Far => &["ip", "addr", "flush", "dev", "far"],
        };
        self.run(arguments).unwrap();
    }
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
        // It goes with its other end, but that may take its time.
        let _ = run("ip", &["link", "del", &self.cable]);
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("no {program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// A room with somebody here, and somebody there whose cable is pulled as something is said.
struct Scene {
    member: Peer,
    room: Room,
    client: Child,
    _far: FarEnd,
    pulled: Instant,
    _directory: TempDir,
}

impl Scene {
    fn with_a_pulled_cable(cut: Cut) -> Option<Self> {
        if !long() {
            skipped("it takes half a minute; set CHINWAG_TEST_LONG=1");
            return None;
        }
        let far = match FarEnd::plug_in() {
            Ok(far) => far,
            Err(why) => {
                skipped(&why);
                return None;
            }
        };
        let (directory, data) = directory();
        fill(&data, 0..2, CHEAP);
        let mut command = chinwag();
        command.args(["serve", "--bind", "0.0.0.0", "--port", "0", "--data"]).arg(&data);
        let room = Room::run(&mut command, &data);
        let mut member = room.member(0);
        let client = client(&far, room.port, directory.path());
        member.hears(&joined(1));
        far.pull_the_cable(cut);
        member.say("are you there?");
        let pulled = Instant::now();
        Some(Self { member, room, client, _far: far, pulled, _directory: directory })
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

#[test]
fn dead_peer_with_unacknowledged_data_is_gone_after_30_s() {
    let Some(mut scene) = Scene::with_a_pulled_cable(Cut::Near) else { return };
    assert_eq!(scene.member.line_within(Duration::from_secs(60)), Some(Some(left(1))));
    let took = scene.pulled.elapsed().as_secs();
    assert!((28..45).contains(&took), "{took} s");
}

#[test]
fn log_in_wins_10_s_after_a_cable_was_pulled_in_a_quiet_room() {
    log_in_wins_after_10_s(Cut::Near, false);
}

#[test]
fn log_in_wins_10_s_after_a_cable_was_pulled_in_a_lively_room() {
    log_in_wins_after_10_s(Cut::Near, true);
}

#[test]
fn log_in_wins_10_s_after_a_cable_was_pulled_beyond_a_switch_in_a_quiet_room() {
    log_in_wins_after_10_s(Cut::Far, false);
}

#[test]
fn log_in_wins_10_s_after_a_cable_was_pulled_beyond_a_switch_in_a_lively_room() {
    log_in_wins_after_10_s(Cut::Far, true);
}

fn log_in_wins_after_10_s(cut: Cut, lively: bool) {
    let Some(mut scene) = Scene::with_a_pulled_cable(cut) else { return };
    let mut newcomer = loop {
        let mut newcomer = Peer::connect(&scene.room);
        newcomer.say(&new("login", 1, PASSWORD));
        match newcomer.line().as_deref() {
            Some("True") => break newcomer,
            answer => assert_eq!(answer, Some("False"), "{}", scene.room.log.text()),
        }
        if lively {
            scene.member.say("a word now and then");
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    let took = scene.pulled.elapsed();
    let latest = limits::GHOST_WAIT + limits::GHOST_SLACK + Duration::from_secs(3);
    assert!((limits::GHOST_WAIT..latest).contains(&took), "{took:?}");
    newcomer.say("here I am");
    for line in [left(1), joined(1), said("here I am", 1)] {
        scene.member.hears(&line);
    }
    scene.member.say("welcome back");
    newcomer.hears(&said("welcome back", 0));
}

/// The bundled client at the far end, which says nothing.
fn client(far: &FarEnd, port: u16, directory: &Path) -> Child {
    let password = directory.join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    let runner = far.runner();
    let runner: Vec<&str> = runner.iter().map(String::as_str).collect();
    let mut command = chinwag_under(&runner);
    command.args(["connect", "--name", "name1", "--user", "user1", "--password-file"]);
    command.arg(password).arg(format!("{}:{port}", far.here()));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}
