//! Looks at a data directory. It makes no file and no directory, and opens the store only while it holds the directory's lock.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::{DirectoryFacts, Holder, StoreFacts, StoreState};
use crate::control;
use crate::data_dir::{self, GenerationManifest};
use crate::disk::{self, DiskReserve, LockError};
use crate::domain::Topic;
use crate::store;
use crate::tools::ask_position;

/// Size in bytes of the store's pages that are held in memory while its position is read.
const CACHE_BYTES: u64 = 16 << 20;
/// The longest time that a process that serves the store may take to tell its position.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Returns the facts about a data directory. `snapshot` is the file that a store is to be made of if there is none.
pub fn look(path: &Path, reserve: DiskReserve, snapshot: Option<&Path>) -> DirectoryFacts {
    let (holder, lock, server) = holder(path);
    let store = store(path, snapshot, &holder, server);
    drop(lock);
    DirectoryFacts {
        filesystem: disk::filesystem_kind(path).map_err(|error| error.to_string()),
        shortage: reserve.shortage(path, 0).map_err(|error| error.to_string()),
        reserve_bytes: reserve.floor_bytes,
        ownership: ownership(path),
        holder,
        store,
    }
}

fn ownership(path: &Path) -> Result<(), String> {
    let oldest = ["CURRENT", "generations", "LOCK"].map(|name| path.join(name));
    let oldest = oldest.iter().find(|path| path.exists()).map_or(path, |path| path.as_path());
    disk::check_owner(path, oldest).map_err(|error| error.to_string())?;
    disk::check_writable(path)
        .map_err(|error| format!("files cannot be made there: {error}{}", disk::permission_remedy(path, &error)))
}

/// Returns the process that has the directory; the lock if none does and there is one to be taken; and a connection to a process that
/// serves it.
fn holder(path: &Path) -> (Holder, Option<File>, Option<UnixStream>) {
    match control::connect(path) {
        Ok(Some(server)) => return (Holder::Server, None, Some(server)),
        Ok(None) => {}
        Err(error) => {
            return (Holder::Unknown(format!("control.sock cannot be connected to: {error}")), None, None);
        }
    }
    let lock = path.join("LOCK");
    if !lock.exists() {
        return (Holder::Nobody, None, None);
    }
    match disk::lock_file(&lock) {
        Ok(file) => (Holder::Nobody, Some(file), None),
        Err(LockError::Held) => (Holder::Other, None, None),
        Err(LockError::Io { doing, error }) => {
            (Holder::Unknown(format!("cannot {doing} LOCK: {error}")), None, None)
        }
    }
}

fn store(path: &Path, snapshot: Option<&Path>, holder: &Holder, server: Option<UnixStream>) -> StoreState {
    let generation = match data_dir::current(path) {
        Ok(Some(generation)) => generation,
        Ok(None) => {
            let snapshot = snapshot.map(|file| File::open(file).map(drop).map_err(|error| error.to_string()));
            return StoreState::None { snapshot };
        }
        Err(error) => return StoreState::Unusable { why: error.to_string(), is_damaged: false },
    };
    let manifest = GenerationManifest::read(&data_dir::directory(path, generation));
    let facts = StoreFacts {
        generation,
        format: manifest.format,
        topics: (!manifest.topics.is_empty()).then(|| Topic::ALL.map(|topic| manifest.topic(topic))),
        ..StoreFacts::default()
    };
    if let Some(server) = server {
        return StoreState::There(match ask_position(server, ANSWER_WITHIN) {
            Ok(position) => StoreFacts {
                checkpoint: position.checkpoint(),
                topics: position.topics.or(facts.topics),
                cluster: position.cluster,
                ..facts
            },
            Err(why) => StoreFacts { unknown_position: Some(why), ..facts },
        });
    }
    if *holder != Holder::Nobody {
        return StoreState::There(facts);
    }
    match store::read_position(path, generation, CACHE_BYTES) {
        Ok(position) => StoreState::There(StoreFacts {
            topics: position.topics.or(facts.topics),
            cluster: position.cluster,
            checkpoint: position.checkpoint,
            ..facts
        }),
        Err(error) => StoreState::Unusable { is_damaged: error.is_damage(), why: error.to_string() },
    }
}
