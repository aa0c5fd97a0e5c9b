//! Every maximum and every wait of chinwag, in one place.
//!
//! Knows numbers, their units and where they come from. Knows nothing else: no type of
//! the program is named here. Units stand last in a name (`_bytes_max`, `_wait`). What
//! people tune is an option of `serve`; the constant is its default.
//!
//! Relations that other code relies on are asserted at compile time at the end.

use std::time::Duration;

// --- framing ---------------------------------------------------------------------------

/// Longest frame, in bytes. The source documents read 1,024 and lose the rest; a terminal
/// line holds 4,096. Option `--max-frame`.
pub const FRAME_BYTES_MAX: usize = 8_192;
/// Smallest value `--max-frame` takes, in bytes: every `[NEW]` frame within the rules for
/// names must fit, its socket field included.
pub const FRAME_BYTES_MAX_FLOOR: usize = 1_024;
/// Largest value `--max-frame` takes, in bytes: a frame must fit one read.
pub const FRAME_BYTES_MAX_CEILING: usize = READ_BYTES_MAX / 2;
/// How long a connection must be silent before what arrived without a line feed counts as
/// a whole frame. People do not send two messages within it; TCP delivers the parts of
/// one `send` well within it on a local network.
pub const BURST_SILENCE: Duration = Duration::from_millis(50);

// --- towards burst clients --------------------------------------------------------------

/// Most bytes of one write to a burst client. The reference client reads 1,024 and dies on
/// half a character.
pub const BURST_WRITE_BYTES_MAX: usize = 1_000;
/// A message that leaves sooner than this after the previous write starts with a line
/// feed, since TCP may hand both to one read.
pub const BURST_MERGE_WINDOW: Duration = Duration::from_millis(50);
/// Pause between the pieces of a long message that holds non-ASCII text: merged reads cut
/// at 1,024 bytes could fall inside a character.
pub const BURST_PIECE_PAUSE: Duration = Duration::from_millis(20);
/// Silence towards a burst client after `True`, which it compares as a whole read.
pub const BURST_QUIET_AFTER_LOGIN: Duration = Duration::from_millis(50);
/// Silence towards a burst client before `exit_server`, for the same reason.
pub const BURST_QUIET_BEFORE_EXIT: Duration = Duration::from_millis(150);

// --- names and passwords ----------------------------------------------------------------

/// Most characters of a display name. The least is 1.
pub const NAME_CHARS_MAX: usize = 32;
/// Fewest characters of a user name.
pub const USER_NAME_CHARS_MIN: usize = 4;
/// Most characters of a user name.
pub const USER_NAME_CHARS_MAX: usize = 32;
/// Fewest characters of a password.
pub const PASSWORD_CHARS_MIN: usize = 5;
/// Most characters of a password. Bounds the work of one hash.
pub const PASSWORD_CHARS_MAX: usize = 128;

// --- reading ----------------------------------------------------------------------------

/// Most bytes read from one client in one turn.
pub const READ_BYTES_MAX: usize = 64 * 1024;
/// Most frames decided for one client in one turn.
pub const READ_FRAMES_MAX: usize = 256;
/// Most bytes that one turn lets the room say, but for the frame that exceeds it. Whoever
/// was not read comes first in the next turn.
pub const TURN_BYTES_MAX: usize = 128 * 1024;
/// What a message is dressed with at the most: a name of four bytes a character, twice for
/// what somebody does, and signs.
pub const FRAME_DRESS_BYTES: usize = 2 * 4 * NAME_CHARS_MAX + 64;
/// Connections accepted in one turn.
pub const ACCEPT_BATCH: usize = 64;
/// Length of the listener's queue in the kernel (which caps it at its own
/// `net.core.somaxconn`). A classroom that presses Enter at once must fit.
pub const LISTEN_BACKLOG: i32 = 4_096;
/// Readiness events taken from one poll.
pub const EVENTS_MAX: usize = 1_024;

// --- answering --------------------------------------------------------------------------

/// Most bytes of one answer to one client: `/who`, `/history`, what is replayed after a
/// log-in. Together with what a turn says it must not take a healthy client to its hard
/// limit.
pub const REPLY_BYTES_MAX: usize = 48 * 1024;
/// The least that `REPLY_BYTES_MAX` is lowered to where the limits of a queue are close to
/// each other: an answer that holds nothing is none.
pub const REPLY_BYTES_MIN: usize = 4 * 1024;
/// Names listed by `/who`; of the others it says how many they are.
pub const WHO_NAMES_MAX: usize = 200;
/// Connections listed for the operator.
pub const WHO_LINES_MAX: usize = 1_000;
/// Bans and mutes together.
pub const SANCTIONS_MAX: usize = 10_000;

// --- writing ----------------------------------------------------------------------------

/// Unread outgoing bytes of one client, beyond the kernel's, above which it lags: bulk
/// senders wait for it and its stall clock runs. Between ergo's 96 KiB and nothing.
/// Option `--queue-soft`.
pub const QUEUE_SOFT_BYTES: usize = 64 * 1024;
/// Unread outgoing bytes of one client at which it is closed. Option `--queue-hard`.
pub const QUEUE_HARD_BYTES: usize = 256 * 1024;
/// Outgoing bytes of all clients together; the worst is closed first. Option
/// `--queue-total`.
pub const QUEUE_TOTAL_BYTES: usize = 512 * 1024 * 1024;
/// A client over its soft limit that takes no byte for this long is closed.
pub const STALL_NO_PROGRESS: Duration = Duration::from_secs(2);
/// A client over its soft limit for this long is closed.
pub const STALL_OVER_SOFT: Duration = Duration::from_secs(10);
/// A sender of more than this within `BULK_WINDOW` is a bulk sender: it waits while any
/// recipient is over its soft limit. Nobody types this fast.
pub const BULK_BYTES: usize = 64 * 1024;
/// The window in which `BULK_BYTES` are counted.
pub const BULK_WINDOW: Duration = Duration::from_secs(1);
/// How long the recipients of one address may make bulk senders wait, per
/// `BULK_HOLD_PERIOD`. Beyond it only their hard limit counts.
pub const BULK_HOLD: Duration = Duration::from_secs(10);
/// The period of `BULK_HOLD`.
pub const BULK_HOLD_PERIOD: Duration = Duration::from_secs(60);
/// How long join and leave notices may wait to travel together. N newcomers told to all
/// are N x N deliveries otherwise.
pub const NOTICE_HOLD: Duration = Duration::from_millis(10);
/// A notice that comes this long after the last one does not wait, unless it was one of
/// several: people come and go slowly, storms do not.
pub const NOTICE_CALM: Duration = Duration::from_millis(100);
/// Replies to one peer are gathered in segments of up to so many bytes.
pub const OWN_SEGMENT_BYTES: usize = 4_096;
/// Slices handed to one vectored write.
pub const WRITE_SLICES_MAX: usize = 64;

// --- a connection's life ----------------------------------------------------------------

/// Time to log in, not counting the wait for the hash. InspIRCd has 20 s; typing a `[NEW]`
/// line takes longer. Option `--login-timeout`.
pub const LOGIN_WAIT: Duration = Duration::from_secs(60);
/// How long a closing connection may take to accept its last words.
pub const CLOSE_FLUSH_WAIT: Duration = Duration::from_secs(2);
/// How long a closed connection's input is read and thrown away, so that no reset
/// destroys the last words.
pub const LINGER_WAIT: Duration = Duration::from_secs(1);
/// How much of a closed connection's input is thrown away.
pub const LINGER_BYTES_MAX: usize = 64 * 1024;
/// Idle time before TCP asks whether the peer is alive.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// Time between TCP's questions. On Linux `UNACKNOWLEDGED_WAIT` counts for them as well, and
/// ends the connection at the first one after it.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// Unanswered questions after which the peer is dead.
pub const KEEPALIVE_PROBES: u32 = 4;
/// Sent bytes that stay unacknowledged this long: the peer is dead (Linux).
pub const UNACKNOWLEDGED_WAIT: Duration = Duration::from_secs(30);
/// A connection in the room whose peer has left bytes unacknowledged and been silent for this
/// long is taken for lost once its account logs in anew (issue: 10 s). Long enough for a Wi-Fi
/// client that changes its access point; well below `UNACKNOWLEDGED_WAIT`, which ends it anyhow.
pub const GHOST_WAIT: Duration = Duration::from_secs(10);
/// How exactly it is remembered when bytes were written; such a connection is recognised so
/// much later at the worst.
pub const GHOST_SLACK: Duration = Duration::from_secs(2);
/// Stale entries that the list of those not logged in may hold beyond as many as there are
/// live ones: sweeping a short list is not worth it.
pub const STALE_ENTRIES_MAX: usize = 64;
/// Descriptors kept for everything that is not a client: listener, poll, waker, standard
/// streams, the one connection to the database, its journal and its lock, the control socket
/// and its caller, and the question to the kernel what a peer has acknowledged, one at a time.
pub const DESCRIPTORS_RESERVED: usize = 32;
/// First wait before accepting again when out of descriptors.
pub const ACCEPT_RETRY_FIRST: Duration = Duration::from_millis(10);
/// Longest wait before accepting again when out of descriptors.
pub const ACCEPT_RETRY_LAST: Duration = Duration::from_secs(1);
/// How long the server may take to flush its last words at shutdown.
pub const DRAIN_WAIT: Duration = Duration::from_secs(2);

// --- fairness between addresses (exempt ones are not counted) ---------------------------

/// Connections of one address (an IPv6 /64 is one). Option `--max-per-address`.
pub const CONNECTIONS_PER_ADDRESS: usize = 64;
/// Messages a client may send at once. Option `--message-burst`.
pub const MESSAGE_BURST: u32 = 20;
/// Messages a client may send a second after that. Option `--message-rate`.
pub const MESSAGES_PER_SECOND: u32 = 10;
/// Wrong log-ins of one address and user name at once.
pub const LOGIN_FAILURES_BURST: u32 = 5;
/// Time for one more wrong log-in of one address and user name.
pub const LOGIN_FAILURE_INTERVAL: Duration = Duration::from_secs(12);
/// Wrong log-ins of one address at once.
pub const ADDRESS_FAILURES_BURST: u32 = 60;
/// Time for one more wrong log-in of one address.
pub const ADDRESS_FAILURE_INTERVAL: Duration = Duration::from_secs(1);
/// Sign-ups of one address at once.
pub const SIGN_UPS_BURST: u32 = 20;
/// Time for one more sign-up of one address.
pub const SIGN_UP_INTERVAL: Duration = Duration::from_secs(60);
/// Addresses (and user names) whose past attempts are remembered; beyond it those that
/// have recovered are forgotten, then the one nearest to it.
pub const ATTEMPTS_REMEMBERED: usize = 65_536;

// --- accounts ---------------------------------------------------------------------------

/// Memory of one argon2id hash, in KiB (OWASP).
pub const HASH_MEMORY_KIB: u32 = 19_456;
/// Passes of one argon2id hash (OWASP).
pub const HASH_PASSES: u32 = 2;
/// Lanes of one argon2id hash (OWASP).
pub const HASH_LANES: u32 = 1;
/// Most memory, in KiB, that a hash found in the database may ask for. A stored hash says
/// itself what verifying it costs; a slip of a foreign hand must not end the server.
pub const HASH_MEMORY_KIB_MAX: u32 = 1024 * 1024;
/// How far the hash threads step back behind the loop (Linux). Ten leaves them a tenth of a
/// CPU that the loop never leaves, so that a log-in always ends.
pub const HASH_NICENESS: i32 = 10;
/// Account jobs that wait for a thread. Beyond it the client waits unread.
pub const ACCOUNT_JOBS_MAX: usize = 64;
/// How often the database is asked for accounts removed by `chinwag accounts remove`; a
/// removed account's session must end within a second.
pub const ACCOUNT_WATCH_INTERVAL: Duration = Duration::from_millis(250);
/// Removed accounts remembered so that a verdict under way cannot revive one. More than
/// the jobs that can be under way.
pub const REMOVED_REMEMBERED: usize = 1_024;
/// How long SQLite waits for another process that holds the database.
pub const DATABASE_BUSY_WAIT: Duration = Duration::from_secs(5);
/// How long the end of the server waits for the account jobs at hand. With `DRAIN_WAIT` it
/// stays below the 3 s in which SIGTERM ends the server.
pub const ACCOUNTS_STOP_WAIT: Duration = Duration::from_millis(500);

// --- what was said ----------------------------------------------------------------------

/// Messages replayed to who logs in, in lines. Option `--history`.
pub const HISTORY_REPLAYED: usize = 20;
/// Messages kept. Option `--history-keep`.
pub const HISTORY_MESSAGES_MAX: usize = 10_000;
/// Bytes of names and texts kept: as many messages of 800 bytes.
pub const HISTORY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What is to be written down and waits for the disk; beyond it what is said is kept in
/// memory only. A file of 2,000 lines, piped into the room, must fit. At most
/// `FRAME_BYTES_MAX` each, and 64 MiB together.
pub const RECORDS_MAX: usize = 8_192;
/// Places among them that only bans and mutes may take: those are not to be lost when much is
/// said.
pub const RECORDS_RESERVED: usize = 64;
/// Most messages written in one transaction.
pub const RECORDS_BATCH: usize = 256;
/// How long a message may wait for others to be written with: one transaction waits for the
/// disk about as long as a hundred.
pub const RECORDS_WAIT: Duration = Duration::from_millis(200);
/// How long whoever writes down looks away between two looks at the queue, while messages
/// gather: being woken for each would cost the loop a system call a message.
pub const RECORDS_PAUSE: Duration = Duration::from_millis(10);

// --- threads, operator, log -------------------------------------------------------------

/// Messages of other threads that wait for the loop; their senders wait beyond it.
pub const MAILBOX_MAX: usize = 1_024;
/// Longest line read from the operator, in bytes.
pub const CONSOLE_LINE_BYTES_MAX: usize = 4_096;
/// How long a caller of the control socket may take to say its line, and again to take the
/// answer: callers are served one by one, and `chinwag admin` needs no time for either.
pub const CONTROL_CALLER_WAIT: Duration = Duration::from_secs(3);
/// Callers that wait in the kernel for their turn at the control socket.
pub const CONTROL_BACKLOG: i32 = 16;
/// First bytes of an answer that `chinwag admin` reads. A room of 100,000 people, told one a
/// line, stays below.
pub const CONTROL_ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a server that starts waits for another that is making its control socket in the
/// same directory.
pub const CONTROL_CLAIM_WAIT: Duration = Duration::from_secs(1);
/// How long the end of the server waits for the answer under way on the control socket: the
/// one to `shutdown`, as a rule. With `DRAIN_WAIT` and `ACCOUNTS_STOP_WAIT` it stays below
/// the 3 s in which SIGTERM ends the server.
pub const CONTROL_STOP_WAIT: Duration = Duration::from_millis(250);
/// How long the control socket is left alone after it could not be accepted from.
pub const CONTROL_ACCEPT_RETRY: Duration = Duration::from_secs(1);
/// How long `chinwag admin` waits for a server, all in all. Longer than the caller before it
/// may take.
pub const ADMIN_WAIT: Duration = Duration::from_secs(10);
/// Log lines a second about connections; the rest is counted and the count is logged.
pub const LOG_LINES_PER_SECOND: u32 = 200;
/// Log lines that wait for standard error; beyond it they are counted and left out, since
/// the loop never waits for whoever reads the log.
pub const LOG_QUEUE_LINES: usize = 1_024;

// --- the bundled client -----------------------------------------------------------------

/// How long the client tries to reach a server.
pub const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// How long the client waits for the answer to a sign-up or log-in. Longer than any queue
/// of hashes.
pub const ANSWER_WAIT: Duration = Duration::from_secs(60);
/// How long a person who left waits for the server's last words, counted from the last
/// thing heard. Nobody likes to wait for a prompt; what was said is with the server.
pub const LEAVE_WAIT: Duration = Duration::from_secs(2);
/// How long a pipe waits, after its last line, for the server to close, counted from the
/// last thing heard. Closing earlier could cost lines that a rate-limited server has not
/// read yet: a receive buffer of 64 KiB holds some 5,000 short ones, read 10 a second.
pub const FAREWELL_WAIT: Duration = Duration::from_secs(600);
/// The same towards a relay, which need not close for one who only stopped sending. More
/// than the time the server may hold a sender up for a stalled recipient.
pub const RELAY_FAREWELL_WAIT: Duration = Duration::from_secs(12);
/// Longest line heard, in bytes; a longer one is shown in pieces. Holds any frame with the
/// speaker's name.
pub const HEARD_LINE_BYTES_MAX: usize = 2 * FRAME_BYTES_MAX_CEILING;
/// Longest line said, in bytes. No server takes a longer frame.
pub const SAID_LINE_BYTES_MAX: usize = FRAME_BYTES_MAX_CEILING;
/// Bytes of a password file that are looked at. Its first line is a password, at most four
/// bytes a character.
pub const PASSWORD_FILE_BYTES_MAX: usize = 4_096;
/// Bytes of lines heard that wait for a terminal. Beyond it nothing is read, so that TCP
/// holds the server back.
pub const SHOWN_QUEUE_BYTES_MAX: usize = 256 * 1024;
/// Lines shown at once. Keys come first, but wait for what is being written.
pub const SHOWN_BATCH_LINES_MAX: usize = 200;
/// Bytes shown at once, but for the line that exceeds them.
pub const SHOWN_BATCH_BYTES_MAX: usize = 16 * 1024;
/// Bytes typed or pasted that wait for the server; beyond it they are given back. A server
/// that limits messages takes its time over a long paste.
pub const SAID_QUEUE_BYTES_MAX: usize = 1024 * 1024;
/// Names that Tab knows.
pub const NAMES_REMEMBERED: usize = 4_096;
/// Lines typed that the arrow keys bring back. In memory only.
pub const TYPED_LINES_REMEMBERED: usize = 1_000;
/// How long an Escape may be the beginning of another key. A slow line delays keys by less.
pub const KEY_SEQUENCE_WAIT: Duration = Duration::from_millis(50);
/// How often whoever reads a line is reminded that the room is over, until it is noticed.
pub const REMINDER_INTERVAL: Duration = Duration::from_millis(20);
/// How long a person's client tries to come back to a server it lost. Longer than the
/// restart of a server. Option `--reconnect`.
pub const RECONNECT_WAIT: Duration = Duration::from_secs(30);
/// The first pause before coming back; it doubles.
pub const RECONNECT_PAUSE_FIRST: Duration = Duration::from_millis(500);
/// The longest pause before coming back.
pub const RECONNECT_PAUSE_LAST: Duration = Duration::from_secs(8);
/// How much a pause may differ, in percent: clients that lost a server together must not
/// come back together.
pub const RECONNECT_JITTER_PERCENT: u64 = 25;

const _: () = {
    // A healthy client is at most at its soft limit when a turn begins; what one turn says,
    // the frame that fills it included, must not take it to the hard one.
    assert!(
        QUEUE_SOFT_BYTES + REPLY_BYTES_MAX + TURN_BYTES_MAX + FRAME_BYTES_MAX + FRAME_DRESS_BYTES
            < QUEUE_HARD_BYTES
    );
    // A list of names of four bytes a character, each with a space and parentheses.
    assert!(WHO_NAMES_MAX * (4 * NAME_CHARS_MAX + 3) + 64 < REPLY_BYTES_MAX);
    assert!(QUEUE_HARD_BYTES < QUEUE_TOTAL_BYTES);
    assert!(READ_BYTES_MAX <= TURN_BYTES_MAX);
    assert!(FRAME_BYTES_MAX_FLOOR <= FRAME_BYTES_MAX && FRAME_BYTES_MAX <= FRAME_BYTES_MAX_CEILING);
    // The longest `[NEW]` frame: six fields, four bytes a character, 256 for the socket.
    assert!(
        12 + 8 + 4 * (NAME_CHARS_MAX + USER_NAME_CHARS_MAX + PASSWORD_CHARS_MAX) + 256
            <= FRAME_BYTES_MAX_FLOOR + 256
    );
    assert!(BURST_WRITE_BYTES_MAX < 1_024);
    assert!(REMOVED_REMEMBERED > ACCOUNT_JOBS_MAX);
    assert!(ACCOUNT_WATCH_INTERVAL.as_millis() * 2 < 1_000);
    assert!(WRITE_SLICES_MAX <= 1_024);
    assert!(HASH_MEMORY_KIB <= HASH_MEMORY_KIB_MAX);
    let stop_wait = ACCOUNTS_STOP_WAIT.as_millis() + CONTROL_STOP_WAIT.as_millis();
    assert!(stop_wait + DRAIN_WAIT.as_millis() < 3_000);
    assert!(2 * CONTROL_CALLER_WAIT.as_millis() < ADMIN_WAIT.as_millis());
    assert!(RELAY_FAREWELL_WAIT.as_secs() > STALL_OVER_SOFT.as_secs());
    assert!(RECORDS_PAUSE.as_millis() * 10 <= RECORDS_WAIT.as_millis());
    assert!(RECORDS_BATCH + RECORDS_RESERVED < RECORDS_MAX);
    assert!(REPLY_BYTES_MIN < REPLY_BYTES_MAX);
    assert!(GHOST_WAIT.as_millis().is_multiple_of(GHOST_SLACK.as_millis()));
    assert!(GHOST_WAIT.as_millis() + GHOST_SLACK.as_millis() < UNACKNOWLEDGED_WAIT.as_millis());
    assert!(PASSWORD_FILE_BYTES_MAX > 4 * PASSWORD_CHARS_MAX + 2);
    assert!(SHOWN_BATCH_BYTES_MAX < SHOWN_QUEUE_BYTES_MAX);
    assert!(SAID_LINE_BYTES_MAX < SAID_QUEUE_BYTES_MAX);
    assert!(RECONNECT_JITTER_PERCENT < 100);
};
