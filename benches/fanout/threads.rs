//! A chat relay with a thread per client, the way the tutorials do it: blocking sockets,
//! one list behind one lock, each message written to everybody while the lock is held.
//!
//! It speaks the floor's dialect (the first line is the log-in) and is run as a process of
//! its own. Like its models it sets no `TCP_NODELAY`.

use std::error::Error;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

type Clients = Arc<Mutex<Vec<(usize, Arc<TcpStream>)>>>;

/// Runs for as long as nobody kills it.
///
/// # Errors
/// The port is taken, or no thread can be started.
pub fn run(port: u16) -> Result<(), Box<dyn Error>> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let clients = Clients::default();
    for (key, stream) in listener.incoming().enumerate() {
        let stream = Arc::new(stream?);
        let clients = Arc::clone(&clients);
        thread::Builder::new().stack_size(64 * 1024).spawn(move || {
            // However a client ends, it is taken off the list.
            let _ = serve(key, &stream, &clients);
            clients.lock().unwrap_or_else(PoisonError::into_inner).retain(|(k, _)| *k != key);
        })?;
    }
    Ok(())
}

fn serve(key: usize, stream: &Arc<TcpStream>, clients: &Clients) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.as_ref());
    let mut line = Vec::new();
    if lines.read_until(b'\n', &mut line)? == 0 {
        return Ok(());
    }
    clients.lock().unwrap_or_else(PoisonError::into_inner).push((key, Arc::clone(stream)));
    stream.as_ref().write_all(b"ok\n")?;
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let clients = clients.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, other) in clients.iter().filter(|(k, _)| *k != key) {
            // Its own thread notices when it is gone.
            let _ = other.as_ref().write_all(&line);
        }
    }
}
