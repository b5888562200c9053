//! Values of any size, stored in pieces that are no larger than [`VALUE_LIMIT`]. For a larger value the pieces are written first,
//! under keys of their own; then the reference that makes them current; then the old pieces are removed. A reader that finds a
//! reference without its pieces reads again: the value has been replaced meanwhile, perhaps by an equal one.
//!
//! No value is empty: an empty one is a place that is kept for a value to come, and is read as none.

use sled::{IVec, Tree};
use xxhash_rust::xxh3::xxh3_64;

use super::keys::VALUE_LIMIT;
use super::sled_fsync::wait_for_room;
use super::{StoreError, Trees, catch_sled_panic};
use crate::codec::stored_record::CorruptValue;

/// The first byte of a reference. No encoded value begins with it: a value begins with its layout or its version.
const REFERENCE: u8 = 0xFF;

/// Number of times that a value is read again because it was replaced. A replacement takes the writer longer than a try the reader.
const TRIES: usize = 100;

/// Most bytes to reserve before the pieces have been read: a damaged reference may claim any length.
const MOST_RESERVED: usize = 64 << 20;

/// Stores a value of any size. Returns what was stored there before: of a large value, its reference.
pub fn put(trees: &Trees, tree: &Tree, key: &[u8], value: &[u8]) -> Result<Option<IVec>, StoreError> {
    wait_for_room();
    let old = if value.len() <= VALUE_LIMIT {
        tree.insert(key, value)?
    } else {
        let reference = Reference::of(value);
        for (number, piece) in (0..).zip(value.chunks(VALUE_LIMIT)) {
            wait_for_room();
            trees.pieces.insert(reference.piece_key(tree, key, number), piece)?;
        }
        tree.insert(key, reference.to_bytes().as_slice())?
    };
    if let Some(old) = old.as_ref().filter(|old| is_reference(old))
        && Reference::parse(old)? != Reference::of(value)
    {
        remove_pieces(trees, tree, key, old)?;
    }
    Ok(old.filter(|old| !is_place(old)))
}

/// Removes a value of any size.
pub fn remove(trees: &Trees, tree: &Tree, key: &[u8]) -> Result<(), StoreError> {
    match tree.remove(key)? {
        Some(old) if old.first() == Some(&REFERENCE) => remove_pieces(trees, tree, key, &old),
        _ => Ok(()),
    }
}

/// Reads a value of any size.
pub fn get(trees: &Trees, tree: &Tree, key: &[u8]) -> Result<Option<IVec>, StoreError> {
    get_if(trees, tree, key, |_| Ok(true))
}

/// Reads a value of any size, but a large one only if it is wanted by its first piece.
pub fn get_if(
    trees: &Trees,
    tree: &Tree,
    key: &[u8],
    is_wanted: impl Fn(&[u8]) -> Result<bool, CorruptValue>,
) -> Result<Option<IVec>, StoreError> {
    catch_sled_panic("value", "reading it", || find(trees, tree, key, is_wanted))
}

fn find(
    trees: &Trees,
    tree: &Tree,
    key: &[u8],
    is_wanted: impl Fn(&[u8]) -> Result<bool, CorruptValue>,
) -> Result<Option<IVec>, StoreError> {
    for _ in 0..TRIES {
        let Some(value) = tree.get(key)?.filter(|value| !is_place(value)) else { return Ok(None) };
        if value.first() != Some(&REFERENCE) {
            return Ok(Some(value));
        }
        let reference = Reference::parse(&value)?;
        match trees.pieces.get(reference.piece_key(tree, key, 0))? {
            Some(first) if !is_wanted(&first)? => return Ok(None),
            Some(_) => {
                if let Some(whole) = assemble(trees, tree, key, reference)? {
                    return Ok(Some(whole));
                }
            }
            None => {}
        }
        std::thread::yield_now();
    }
    Err(CorruptValue { what: "value", reason: "pieces of it are missing".to_owned() }.into())
}

/// Reads a value as it is stored: a large one as its reference, which changes with the value.
pub fn get_stored(tree: &Tree, key: &[u8]) -> Result<Option<IVec>, StoreError> {
    catch_sled_panic("value", "reading it", || Ok(tree.get(key)?.filter(|value| !is_place(value))))
}

/// Returns the number of bytes of a value, given as it is stored.
pub fn stored_len(stored: &[u8]) -> Result<u64, StoreError> {
    let is_whole = !is_reference(stored);
    if is_whole { Ok(stored.len() as u64) } else { Ok(u64::from(Reference::parse(stored)?.len)) }
}

/// Returns true if a value as it is stored is none yet: a place that is kept for it.
pub fn is_place(stored: &[u8]) -> bool {
    stored.is_empty()
}

/// Returns true if a value as it is stored is the reference of a large one.
pub fn is_reference(stored: &[u8]) -> bool {
    stored.first() == Some(&REFERENCE)
}

/// Returns the name of the tree and the key of the value that a piece belongs to, from the piece's key.
pub fn owner(piece: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = piece.iter().position(|&byte| byte == 0)?;
    let (name, rest) = (&piece[..end], &piece[end + 1..]);
    Some((name, rest.get(..rest.len().checked_sub(12)?)?))
}

/// Returns true if `value`, which is stored under `key`, refers to a piece.
pub fn refers_to(value: &[u8], tree: &Tree, key: &[u8], piece: &[u8]) -> Result<bool, StoreError> {
    if value.first() != Some(&REFERENCE) {
        return Ok(false);
    }
    let reference = Reference::parse(value)?;
    let number = piece.last_chunk().map_or(u32::MAX, |number| u32::from_be_bytes(*number));
    Ok(number < reference.pieces() && reference.piece_key(tree, key, number) == piece)
}

fn assemble(trees: &Trees, tree: &Tree, key: &[u8], reference: Reference) -> Result<Option<IVec>, StoreError> {
    let mut whole = Vec::with_capacity((reference.len as usize).min(MOST_RESERVED));
    for number in 0..reference.pieces() {
        match trees.pieces.get(reference.piece_key(tree, key, number))? {
            Some(piece) => whole.extend_from_slice(&piece),
            None => return Ok(None),
        }
    }
    Ok((Reference::of(&whole) == reference).then(|| IVec::from(whole)))
}

fn remove_pieces(trees: &Trees, tree: &Tree, key: &[u8], reference: &[u8]) -> Result<(), StoreError> {
    let reference = Reference::parse(reference)?;
    for number in 0..reference.pieces() {
        trees.pieces.remove(reference.piece_key(tree, key, number))?;
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Reference {
    len: u32,
    hash: u64,
}

impl Reference {
    fn of(value: &[u8]) -> Reference {
        // Kafka's records are bounded far below 4 GiB, and so are values.
        Reference { len: u32::try_from(value.len()).unwrap_or(u32::MAX), hash: xxh3_64(value) }
    }

    fn parse(bytes: &[u8]) -> Result<Reference, StoreError> {
        let rest = bytes.get(1..).and_then(|rest| <&[u8; 12]>::try_from(rest).ok());
        let rest =
            rest.ok_or_else(|| CorruptValue { what: "value", reason: "its reference is cut short".to_owned() })?;
        let [a, b, c, d, hash @ ..] = *rest;
        Ok(Reference { len: u32::from_be_bytes([a, b, c, d]), hash: u64::from_be_bytes(hash) })
    }

    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = vec![REFERENCE];
        bytes.extend_from_slice(&self.len.to_be_bytes());
        bytes.extend_from_slice(&self.hash.to_be_bytes());
        bytes
    }

    #[expect(clippy::cast_possible_truncation, reason = "a limit of some thousand bytes")]
    fn pieces(self) -> u32 {
        self.len.div_ceil(VALUE_LIMIT as u32)
    }

    fn piece_key(self, tree: &Tree, key: &[u8], number: u32) -> Vec<u8> {
        let mut piece = Vec::with_capacity(tree.name().len() + key.len() + 13);
        piece.extend_from_slice(&tree.name());
        piece.push(0);
        piece.extend_from_slice(key);
        piece.extend_from_slice(&self.hash.to_be_bytes());
        piece.extend_from_slice(&number.to_be_bytes());
        piece
    }
}
