//! A flag that one thread waits for and others set.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

#[derive(Default)]
pub struct WakeFlag {
    woken: Mutex<bool>,
    condvar: Condvar,
}

impl WakeFlag {
    pub fn wake(&self) {
        *self.woken.lock() = true;
        self.condvar.notify_one();
    }

    /// Waits until the flag is set, or was since the last call, but no longer than `wait`.
    pub fn wait(&self, wait: Duration) {
        let mut woken = self.woken.lock();
        if !*woken {
            self.condvar.wait_for(&mut woken, wait);
        }
        *woken = false;
    }
}
