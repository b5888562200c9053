//! Dead letters are kept within a bound, counted once, and can be listed, shown, tried again and discarded, with an instance that
//! serves them and at rest.

mod shelf;
#[cfg(target_os = "linux")]
mod sixty_kinds;
#[cfg(target_os = "linux")]
mod workflow;
