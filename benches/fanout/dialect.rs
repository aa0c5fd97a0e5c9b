//! How each subject is talked to: how to join, how to speak, what a delivery looks like.
//!
//! Knows bytes. Knows no socket, process or clock. Every message is 64 bytes for the
//! recipient, line end included, plus what the dialect wraps around it; every delivery of
//! a dialect has the same length, and names its speaker in one digit at a fixed place.

use std::io::Write as _;

use crate::subjects::Subject;

/// Most speakers of a room: one digit.
pub const SPEAKERS_MAX: usize = 10;
/// Bytes of a message.
const MESSAGE_BYTES: usize = 64;
/// What stands in front of the speaker's digit in every delivery, and nowhere else in it.
pub const SPEAKER_MARK: &[u8] = b"=";
/// The password of every account of the bench.
pub const PASSWORD: &str = "password";

/// The name of a member: the speakers first, then the audience. All of one kind have the
/// same length.
pub fn name(index: usize) -> String {
    if index < SPEAKERS_MAX { format!("s{index}") } else { format!("a{index:05}") }
}

/// Whose name this is, of the audience.
pub fn index_of(name: &[u8]) -> Option<usize> {
    std::str::from_utf8(name.strip_prefix(b"a")?).ok()?.parse().ok()
}

/// The user name of a member's account.
pub fn user_name(index: usize) -> String {
    format!("user{index:05}")
}

impl Subject {
    /// What a client sends at once when it is connected, to join the room.
    pub fn hello(self, index: usize) -> Vec<u8> {
        let name = name(index);
        match self {
            Self::Floor | Self::Threads => b"hello\n".to_vec(),
            Self::Nickname | Self::OtherNickname => format!("{name}\n").into_bytes(),
            Self::Accounts | Self::Unkept | Self::OtherAccounts => {
                let user_name = user_name(index);
                format!("[NEW]:login:{name}:{user_name}:{PASSWORD}\n").into_bytes()
            }
            Self::Redis => b"HELLO 3\r\nSUBSCRIBE room\r\n".to_vec(),
            Self::Nats => {
                b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB room 1\r\nPING\r\n".to_vec()
            }
            Self::Ngircd => {
                format!("NICK {name}\r\nUSER {name} 0 * :{name}\r\nJOIN #room\r\n").into_bytes()
            }
            Self::Mosquitto => {
                // CONNECT: protocol 3.1.1, clean session, no keep-alive; then SUBSCRIBE.
                let mut bytes = vec![0x10, 12 + name.len() as u8, 0, 4];
                bytes.extend_from_slice(b"MQTT\x04\x02\x00\x00\x00");
                bytes.push(name.len() as u8);
                bytes.extend_from_slice(name.as_bytes());
                bytes.extend_from_slice(b"\x82\x09\x00\x01\x00\x04room\x00");
                bytes
            }
        }
    }

    /// What a client hears, among other things, when it has joined.
    pub const fn welcome(self) -> &'static [u8] {
        match self {
            Self::Floor | Self::Threads => b"ok\n",
            Self::Nickname | Self::OtherNickname => b"Welcome to this chatroom!\n",
            Self::Accounts | Self::Unkept | Self::OtherAccounts => b"True\n",
            Self::Redis => b"subscribe\r\n$4\r\nroom\r\n:1\r\n",
            Self::Nats => b"PONG\r\n",
            Self::Ngircd => b" 366 ",
            Self::Mosquitto => b"\x90\x03\x00\x01\x00",
        }
    }

    /// Whether speakers hear themselves.
    pub const fn echoes(self) -> bool {
        matches!(
            self,
            Self::Nickname | Self::OtherNickname | Self::Redis | Self::Nats | Self::Mosquitto
        )
    }

    /// Whether all recipients must hear all speakers in one order. Servers with several
    /// threads keep the order of each speaker only.
    pub const fn has_one_order(self) -> bool {
        !matches!(self, Self::Nats | Self::Threads)
    }

    /// Whether a line that starts with this byte may come between deliveries: replies to
    /// the speaker (redis), the server's question whether we live (nats-server).
    pub const fn is_aside(self, first: u8) -> bool {
        match self {
            Self::Redis => first == b':',
            Self::Nats => first == b'P',
            _ => false,
        }
    }

    /// Appends what a speaker sends to say its message number `number`.
    pub fn say(self, speaker: usize, number: u32, out: &mut Vec<u8>) {
        match self {
            Self::Floor | Self::Threads => text(speaker, number, MESSAGE_BYTES - 1, out),
            Self::Nickname | Self::OtherNickname => {
                let _ = write!(out, "s{speaker}: ");
                text(speaker, number, MESSAGE_BYTES - 5, out);
            }
            // What the recipients hear, ` - (s0)` behind it, has the 64 bytes.
            Self::Accounts | Self::Unkept | Self::OtherAccounts => {
                text(speaker, number, MESSAGE_BYTES - 8, out);
            }
            Self::Redis => {
                out.extend_from_slice(b"*3\r\n$7\r\nPUBLISH\r\n$4\r\nroom\r\n$64\r\n");
                text(speaker, number, MESSAGE_BYTES, out);
                out.push(b'\r');
            }
            Self::Nats => {
                out.extend_from_slice(b"PUB room 64\r\n");
                text(speaker, number, MESSAGE_BYTES, out);
                out.push(b'\r');
            }
            Self::Ngircd => {
                out.extend_from_slice(b"PRIVMSG #room :");
                text(speaker, number, MESSAGE_BYTES - 2, out);
                out.push(b'\r');
            }
            Self::Mosquitto => {
                self.delivery(speaker, number, out);
                return;
            }
        }
        out.push(b'\n');
    }

    /// Appends what a recipient then hears.
    pub fn delivery(self, speaker: usize, number: u32, out: &mut Vec<u8>) {
        match self {
            Self::Floor | Self::Threads | Self::Nickname | Self::OtherNickname => {
                self.say(speaker, number, out);
            }
            Self::Accounts | Self::Unkept | Self::OtherAccounts => {
                text(speaker, number, MESSAGE_BYTES - 8, out);
                let _ = writeln!(out, " - (s{speaker})");
            }
            Self::Redis => {
                out.extend_from_slice(b">3\r\n$7\r\nmessage\r\n$4\r\nroom\r\n$64\r\n");
                text(speaker, number, MESSAGE_BYTES, out);
                out.extend_from_slice(b"\r\n");
            }
            Self::Nats => {
                out.extend_from_slice(b"MSG room 1 64\r\n");
                text(speaker, number, MESSAGE_BYTES, out);
                out.extend_from_slice(b"\r\n");
            }
            Self::Ngircd => {
                let _ = write!(out, ":s{speaker}!~s{speaker}@127.0.0.1 PRIVMSG #room :");
                text(speaker, number, MESSAGE_BYTES - 2, out);
                out.extend_from_slice(b"\r\n");
            }
            Self::Mosquitto => {
                out.extend_from_slice(b"\x30\x46\x00\x04room");
                text(speaker, number, MESSAGE_BYTES, out);
            }
        }
    }
}

/// Appends `length` bytes that name speaker and number.
fn text(speaker: usize, number: u32, length: usize, out: &mut Vec<u8>) {
    let end = out.len() + length;
    // Writing to a vector cannot fail.
    let _ = write!(out, "={speaker} {number:010} ");
    out.resize(end, b'.');
}
