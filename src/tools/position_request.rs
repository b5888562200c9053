//! The request for the position of the store that a process serves.

use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use super::dispatch::{ToolReply, ask};
use super::position::StorePosition;
use super::tool::Tool;

/// Asks a process for the position of the store that it serves.
///
/// # Errors
/// It does not answer within `at_most`, has no store open, or is of a version that does not know the question.
pub fn ask_position(process: UnixStream, at_most: Duration) -> Result<StorePosition, String> {
    let (give, given) = channel();
    // A process that stands still keeps the thread until this one ends.
    let started = thread::Builder::new().name("position".to_owned()).spawn(move || {
        let answer = ask(process, &Tool::Position, &mut |_| ControlFlow::Continue(()), None);
        let _ = give.send(match answer {
            Ok(ToolReply::Done(outcome)) => {
                serde_json::from_str(outcome.json.get()).map_err(|error| error.to_string())
            }
            Ok(ToolReply::NotYet(why)) => Err(why),
            Err(error) => Err(format!("{error:#}")),
        });
    });
    started.map_err(|error| error.to_string())?;
    given
        .recv_timeout(at_most)
        .unwrap_or_else(|_| Err(format!("it does not answer within {} s", at_most.as_secs())))
}
