//! A socket that records when its connection was last active and what it waits for, so that the accept loop can end a connection that
//! has waited for too long. A request pays for a load and a store of an atomic number or two, and for no reading of the clock:
//! the accept loop reads it for all connections.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use smallvec::SmallVec;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::limits::ConnectionLimits;

/// The interval at which the clock of all connections is read. A connection may end this much later than its limits demand.
pub const TICK: Duration = Duration::from_millis(100);

/// The time since the server began, as of the last reading by the accept loop.
pub struct ActivityClock {
    begin: Instant,
    /// The last reading, in ticks.
    seen: AtomicU64,
}

impl ActivityClock {
    pub fn start() -> ActivityClock {
        ActivityClock { begin: Instant::now(), seen: AtomicU64::new(0) }
    }

    /// Reads the clock for all connections.
    pub fn look(&self) {
        let ticks = self.begin.elapsed().as_millis() / TICK.as_millis();
        self.seen.store(u64::try_from(ticks).unwrap_or(u64::MAX >> 2), Ordering::Relaxed);
    }

    /// Returns the time between a tick and the last reading.
    pub fn elapsed_since(&self, tick: u64) -> Duration {
        ticks(self.seen.load(Ordering::Relaxed).saturating_sub(tick))
    }
}

fn ticks(count: u64) -> Duration {
    TICK.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The thing that a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The client's next request. All answers have been sent.
    Idle,
    /// The rest of a request, or its answer. A connection begins in this phase.
    Busy,
    /// The client, which does not read its answer.
    Unread,
}

/// The phase of a connection, and the time at which it began.
pub struct Activity {
    clock: Arc<ActivityClock>,
    /// The tick at which the phase began, with the phase in the last two bits.
    state: AtomicU64,
}

impl Activity {
    pub fn begin(clock: &Arc<ActivityClock>) -> Activity {
        let activity = Activity { clock: Arc::clone(clock), state: AtomicU64::new(0) };
        activity.enter(Phase::Busy);
        activity
    }

    fn enter(&self, phase: Phase) {
        self.state.store(self.clock.seen.load(Ordering::Relaxed) << 2 | phase as u64, Ordering::Relaxed);
    }

    fn state(&self) -> (u64, Phase) {
        let state = self.state.load(Ordering::Relaxed);
        let phase = match state & 3 {
            0 => Phase::Idle,
            1 => Phase::Busy,
            _ => Phase::Unread,
        };
        (state >> 2, phase)
    }

    /// Returns the tick since which nothing has been sent or received. Returns `None` if the client has not read its answer, so
    /// that the connection cannot end without cutting that off.
    pub fn silent_since(&self) -> Option<u64> {
        match self.state() {
            (_, Phase::Unread) => None,
            (since, Phase::Idle | Phase::Busy) => Some(since),
        }
    }

    /// Returns the phase that the connection is in, if it has been in it for longer than its limit.
    pub fn overdue(&self, limits: &ConnectionLimits, now: Instant) -> Option<Phase> {
        let (since, phase) = self.state();
        let limit = match phase {
            Phase::Idle => limits.keep_alive,
            Phase::Busy => limits.answer,
            Phase::Unread => limits.unread,
        };
        // The phase may have begun at the end of the tick.
        (now >= self.clock.begin + ticks(since + 1) + limit).then_some(phase)
    }

    fn read_some(&self) {
        // A head that trickles in does not begin again with each piece.
        if self.state().1 == Phase::Idle {
            self.enter(Phase::Busy);
        }
    }

    fn wrote(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(1..)) => self.enter(Phase::Idle),
            Poll::Pending if self.state().1 != Phase::Unread => self.enter(Phase::Unread),
            _ => {}
        }
    }
}

/// Most bytes of a head and its body that are copied together, to be sent by `send`. It costs the system a twentieth less than `writev`,
/// which it has to copy the places of both parts for.
const COPIED_MAX: usize = 4 << 10;

/// A socket in hyper's form that notes its activity.
pub struct MonitoredStream {
    stream: TokioIo<TcpStream>,
    activity: Arc<Activity>,
}

pub fn monitor(stream: TcpStream, activity: Arc<Activity>) -> MonitoredStream {
    MonitoredStream { stream: TokioIo::new(stream), activity }
}

impl Read for MonitoredStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            self.activity.read_some();
        }
        read
    }
}

impl Write for MonitoredStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.activity.wrote(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.stream);
        let written = match slices {
            [whole] => stream.poll_write(context, whole),
            parts if parts.iter().map(|part| part.len()).sum::<usize>() <= COPIED_MAX => {
                let mut copied = SmallVec::<[u8; COPIED_MAX]>::new();
                parts.iter().for_each(|part| copied.extend_from_slice(part));
                stream.poll_write(context, &copied)
            }
            parts => stream.poll_write_vectored(context, parts),
        };
        self.activity.wrote(&written);
        written
    }
}
