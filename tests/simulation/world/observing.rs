//! What the observer hears as it happens, and what is written down.

use chinwag::operator::OperatorCommand;

use super::*;

impl World {
    /// What was said is written down, unless the disk is too slow.
    pub(super) fn write_down(&mut self) {
        let lost = self.disk_is_slow;
        let mut unwritten = 0;
        for (said, forget_before) in self.server.take_records() {
            assert!(!said.text.contains(SECRET_CHARS), "a secret on disk: {said:?}");
            unwritten += u64::from(lost);
            if !lost {
                self.disk.push_back(Arc::clone(&said));
            }
            while self.disk.front().is_some_and(|oldest| oldest.number < forget_before) {
                self.disk.pop_front();
            }
            self.records.push((said, forget_before, self.wall_told));
        }
        self.unwritten += unwritten;
        self.server.note_unwritten(unwritten);
    }

    /// Takes in what the observer has heard, which is all that was said.
    pub(super) fn observe(&mut self) {
        let accounts = self.protocol == Protocol::Accounts;
        if !accounts && self.protocol != Protocol::Nickname {
            return;
        }
        let pipe = Rc::clone(&self.conns[0].pipe);
        let heard = &pipe.borrow().heard;
        while let Some(length) = memchr(&heard[self.observed..]) {
            let line = &heard[self.observed..self.observed + length];
            self.observed += length + 1;
            let name = if accounts { speaker(line) } else { nickname_speaker(line) };
            let Some(name) = name else { continue };
            self.said += 1;
            if !self.muted.is_empty() {
                let name = name.to_ascii_lowercase();
                assert!(!self.muted.contains(&name), "{name} is muted and says {line:?}");
            }
            if self.changing.contains(name) {
                self.says_while_changing(name, line);
            }
        }
    }

    /// While a password is changed, what its owner sent after that waits.
    fn says_while_changing(&self, name: &str, line: &[u8]) {
        let id = self.sessions.get(name).and_then(|of_name| of_name.last());
        let Some(conn) = id.map(|&id| &self.conns[id]) else { return };
        if conn.pending != Some(Pending::Password) || !self.is_inside(conn.id) {
            return;
        }
        let line = String::from_utf8_lossy(line);
        let change = |act: &Act| matches!(act, Act::Password { .. });
        let mut changes = conn.script.iter().enumerate().filter(|(_, act)| change(act));
        let at = changes.nth(conn.changes - 1).map_or(0, |(at, _)| at);
        let early = conn.script[at..].iter().any(|act| match act {
            Act::Say(text) => line.strip_prefix(text.as_str()).is_some_and(|end| {
                end.strip_prefix(" - (").and_then(|end| end.strip_suffix(')')) == Some(name)
            }),
            _ => false,
        });
        assert!(!early, "{name} is heard although its password is being changed: {line}");
    }

    /// A server that starts again with what is on disk keeps what this one keeps.
    pub fn starts_again(&mut self) {
        let (kept, accounts) = (self.kept.clone(), self.protocol == Protocol::Accounts);
        if self.unwritten > 0 || !accounts || self.server.is_shutting_down() {
            return;
        }
        let first = self.records.last().map_or(0, |(_, forget_before, _)| *forget_before);
        let old = kept.history.iter().filter(|said| said.number >= first).cloned();
        let history = old.chain(self.disk.iter().map(|said| Said::clone(said))).collect();
        let mut again: Server<Socket> = Server::new(self.settings.clone());
        again.set_wall_clock(self.wall_told);
        again.restore(Kept { history, sanctions: Vec::new() });
        let stats = again.operate(&OperatorCommand::Stats, self.now()).answer.text;
        let history =
            |stats: &str| stats.lines().find(|l| l.starts_with("history")).map(str::to_owned);
        assert_eq!(history(&stats), history(&self.order("stats").1), "another history");
    }
}

fn memchr(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == b'\n')
}

/// Who says this line, if it is said (`accounts`).
fn speaker(line: &[u8]) -> Option<&str> {
    let line = line.strip_suffix(b")")?;
    let at = line.windows(4).rposition(|window| window == b" - (")?;
    std::str::from_utf8(&line[at + 4..]).ok()
}

/// The same of `nickname`, where notices and greetings have no colon.
fn nickname_speaker(line: &[u8]) -> Option<&str> {
    let at = line.iter().position(|&byte| byte == b':')?;
    std::str::from_utf8(&line[..at]).ok().filter(|name| !name.starts_with('['))
}
