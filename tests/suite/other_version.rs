//! Turns a store into one of another version, which folds otherwise.

use std::path::Path;
use std::time::{Duration, Instant};

use optview::codec::stored_record;
use optview::store::LAYOUT;
use serde_json::Value;

/// The fold format of the other version.
pub const OTHER_FORMAT: u8 = 99;

/// The first byte of a reference to pieces, which is no record.
const REFERENCE: u8 = 0xFF;

/// Turns the generation in a directory, which nobody has open, into one of [`OTHER_FORMAT`]: no register and no parked job can be
/// decoded any more.
pub fn fold_otherwise(generation: &Path) {
    let db = open(generation);
    db.open_tree("meta").unwrap().insert("format", &[LAYOUT, OTHER_FORMAT]).unwrap();
    let tree = db.open_tree("optimizations").unwrap();
    let mut garbled = 0;
    for (key, value) in tree.iter().map(Result::unwrap) {
        // An empty value is a place for a record to come.
        if value.first().is_none_or(|first| *first == REFERENCE) {
            continue;
        }
        let parts = stored_record::layout(&value).unwrap();
        let registers = parts.objectives.map_or(parts.response.end, |objectives| objectives.end);
        let mut value = value.to_vec();
        value[registers..].fill(0xEE);
        assert!(stored_record::decode_optimization(&value).is_err(), "no register is left");
        tree.insert(key, value).unwrap();
        garbled += 1;
    }
    assert!(garbled > 0, "there is something to garble");
    let jobs = db.open_tree("jobs").unwrap();
    for (key, value) in jobs.iter().map(Result::unwrap) {
        jobs.insert(key, vec![0xEE; value.len()]).unwrap();
    }
    db.flush().unwrap();
    drop((db, tree, jobs));
    let path = generation.join("generation.json");
    let mut about: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    about["format"] = OTHER_FORMAT.into();
    std::fs::write(&path, about.to_string()).unwrap();
}

/// Opens a generation's database. A process that had it open releases it only a moment after it has closed it.
fn open(generation: &Path) -> sled::Db {
    let begin = Instant::now();
    loop {
        match sled::open(generation) {
            Err(sled::Error::Io(_)) if begin.elapsed() < Duration::from_secs(20) => {
                std::thread::sleep(Duration::from_millis(1));
            }
            opened => return opened.unwrap(),
        }
    }
}
