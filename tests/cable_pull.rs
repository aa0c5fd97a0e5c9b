//! A cable is pulled between a real server and a client: nobody says farewell, and the
//! server has to find out. Needs root, two network namespaces and half a minute.
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
use std::time::{Duration, Instant};

use process_support::{
    CHEAP, PASSWORD, Room, chinwag, chinwag_under, directory, fill, joined, left, long, skipped,
};

const HERE: &str = "10.213.77.1";

/// A network of its own at the far end of a cable; both go when it is dropped.
struct FarEnd {
    keeper: Child,
    cable: String,
}

impl FarEnd {
    /// Says why when there can be none.
    fn plug_in() -> Result<Self, String> {
        let keeper = Command::new("unshare").args(["-n", "sleep", "600"]).spawn();
        let keeper = keeper.map_err(|error| format!("no unshare: {error}"))?;
        let far = Self { keeper, cable: format!("chinwag{}", std::process::id() % 100_000) };
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
        let near = format!("{HERE}/30");
        for arguments in [
            &["link", "add", name, "type", "veth", "peer", "name", "far", "netns", &pid][..],
            &["addr", "add", &near, "dev", name],
            &["link", "set", name, "up"],
        ] {
            run("ip", arguments)?;
        }
        for arguments in [
            &["ip", "addr", "add", "10.213.77.2/30", "dev", "far"][..],
            &["ip", "link", "set", "far", "up"],
        ] {
            far.run(arguments)?;
        }
        Ok(far)
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

    fn pull_the_cable(&self) {
        self.run(&["ip", "link", "set", "far", "down"]).unwrap();
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

#[test]
fn dead_peer_with_unacknowledged_data_is_gone_after_30_s() {
    if !long() {
        return skipped("it takes half a minute; set CHINWAG_TEST_LONG=1");
    }
    let far = match FarEnd::plug_in() {
        Ok(far) => far,
        Err(why) => return skipped(&why),
    };
    let (directory, data) = directory();
    fill(&data, 0..2, CHEAP);
    let mut command = chinwag();
    command.args(["serve", "--bind", "0.0.0.0", "--port", "0", "--data"]).arg(&data);
    let room = Room::run(&mut command, &data);
    let mut member = room.member(0);
    let mut client = client(&far, room.port, directory.path());
    member.hears(&joined(1));
    far.pull_the_cable();
    member.say("are you there?");
    let pulled = Instant::now();
    assert_eq!(member.line_within(Duration::from_secs(60)), Some(Some(left(1))));
    let took = pulled.elapsed().as_secs();
    assert!((28..45).contains(&took), "{took} s");
    let _ = client.kill();
    let _ = client.wait();
}

/// The bundled client at the far end, which says nothing.
fn client(far: &FarEnd, port: u16, directory: &Path) -> Child {
    let password = directory.join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    let runner = far.runner();
    let runner: Vec<&str> = runner.iter().map(String::as_str).collect();
    let mut command = chinwag_under(&runner);
    command.args(["connect", "--name", "name1", "--user", "user1", "--password-file"]);
    command.arg(password).arg(format!("{HERE}:{port}"));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}
