//! The floor: the least that a fan-out server on one thread can do.
//!
//! One read of every speaker that is ready, then one send of what was read to every
//! recipient, without its own part, and nothing else: no frames, no names, no queue. It is
//! run as a process of its own. A recipient that does not take a whole send ends it: a
//! floor that kept something for later would be no floor.

use std::error::Error;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

/// Most bytes of one read, and of one round.
const READ_BYTES_MAX: usize = 64 * 1024;
const ROUND_BYTES_MAX: usize = 16 * READ_BYTES_MAX;
const LISTENER: Token = Token(usize::MAX);

struct Member {
    stream: TcpStream,
    /// Its first read is its log-in: answered, heard by nobody.
    joined: bool,
    /// What it said this round, as a part of what all said.
    own: Range<u32>,
}

/// Runs for as long as nobody kills it.
///
/// # Errors
/// The port is taken, or a recipient does not take a whole send.
pub fn run(port: u16) -> Result<(), Box<dyn Error>> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(4_096)?;
    socket.set_nonblocking(true)?;
    let mut listener = TcpListener::from_std(socket.into());
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    rlimit::increase_nofile_limit(u64::MAX)?;

    let mut events = Events::with_capacity(1_024);
    let mut members: Vec<Option<Member>> = Vec::new();
    let mut speakers: Vec<usize> = Vec::new();
    let mut said = vec![0; ROUND_BYTES_MAX];
    loop {
        if let Err(error) = poll.poll(&mut events, None) {
            if error.kind() == io::ErrorKind::Interrupted {
                continue;
            }
            return Err(error.into());
        }
        let mut length = 0;
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, &mut members)?;
                continue;
            }
            let Token(key) = event.token();
            let Some(member) = members[key].as_mut() else { continue };
            let end = (length + READ_BYTES_MAX).min(ROUND_BYTES_MAX);
            match member.stream.read(&mut said[length..end]) {
                Ok(0) => members[key] = None,
                Ok(count) if length + count == end => return Err("too much at once".into()),
                Ok(count) if member.joined => {
                    member.own = length as u32..(length + count) as u32;
                    speakers.push(key);
                    length += count;
                }
                Ok(_) => {
                    member.joined = true;
                    whole(member.stream.write(b"ok\n")?, 3)?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => members[key] = None,
            }
        }
        if length == 0 {
            continue;
        }
        let said = &said[..length];
        for member in members.iter_mut().flatten().filter(|member| member.joined) {
            if member.own.is_empty() {
                whole(member.stream.write(said)?, length)?;
                continue;
            }
            let before = &said[..member.own.start as usize];
            let after = &said[member.own.end as usize..];
            if before.len() + after.len() > 0 {
                let slices = [IoSlice::new(before), IoSlice::new(after)];
                whole(member.stream.write_vectored(&slices)?, before.len() + after.len())?;
            }
        }
        for key in speakers.drain(..) {
            if let Some(member) = members[key].as_mut() {
                member.own = 0..0;
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    poll: &Poll,
    members: &mut Vec<Option<Member>>,
) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok((mut stream, _)) => {
                stream.set_nodelay(true)?;
                poll.registry().register(&mut stream, Token(members.len()), Interest::READABLE)?;
                members.push(Some(Member { stream, joined: false, own: 0..0 }));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

fn whole(written: usize, wanted: usize) -> Result<(), Box<dyn Error>> {
    if written == wanted { Ok(()) } else { Err("a recipient did not take a whole send".into()) }
}
