//! A duration in milliseconds that is sampled repeatedly on a thread of its own, and its spread over a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use crate::support::percentile;

/// Longest wait that any reader should ever have, in milliseconds.
const LONG_MILLIS: f64 = 50.0;

pub struct Sampler {
    shared: Arc<SamplerState>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct SamplerState {
    stop: AtomicBool,
    /// The end of each sample, and its milliseconds.
    taken: Mutex<Vec<(Instant, f64)>>,
}

/// The spread of samples in milliseconds.
#[derive(Debug, Serialize)]
pub struct Spread {
    pub count: usize,
    pub p50: f64,
    pub p99: f64,
    pub most: f64,
    pub over_50: usize,
}

impl Sampler {
    /// Samples, then pauses for `every`. `None` means that there was nothing to sample.
    pub fn start(every: Duration, mut take: impl FnMut() -> Option<f64> + Send + 'static) -> Sampler {
        let shared = Arc::new(SamplerState::default());
        let sampled = shared.clone();
        let thread = std::thread::spawn(move || {
            while !sampled.stop.load(Ordering::Relaxed) {
                if let Some(millis) = take() {
                    sampled.taken.lock().push((Instant::now(), millis));
                }
                std::thread::sleep(every);
            }
        });
        Sampler { shared, thread: Some(thread) }
    }

    /// Returns the spread of the samples since `begin`.
    ///
    /// # Panics
    /// Panics if sampling panicked, or if there are no samples.
    pub fn since(&self, begin: Instant) -> Spread {
        assert!(!self.thread.as_ref().is_some_and(JoinHandle::is_finished), "the panic is printed above");
        let taken = self.shared.taken.lock();
        let mut millis: Vec<f64> =
            taken.iter().filter(|(at, _)| *at >= begin).map(|(_, millis)| *millis).collect();
        assert!(!millis.is_empty(), "nothing was measured");
        millis.sort_by(f64::total_cmp);
        let [p50, p99, most] = [50.0, 99.0, 100.0].map(|at| rounded(percentile(&millis, at)));
        let over_50 = millis.iter().filter(|millis| **millis > LONG_MILLIS).count();
        Spread { count: millis.len(), p50, p99, most, over_50 }
    }

    /// Ends the sampling.
    ///
    /// # Panics
    /// Panics if sampling panicked.
    pub fn finish(mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))), "the panic is printed above");
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

/// Rounds to hundredths.
pub fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
