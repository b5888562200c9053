//! Values of any size, none larger in sled than [`VALUE_LIMIT`]: a larger one is written as pieces under keys of their
//! own, then the reference that makes them current, then the old pieces are removed. A reader that meets a reference
//! whose pieces are gone reads again: the value has been replaced meanwhile, perhaps by what it was before.

use sled::{IVec, Tree};
use xxhash_rust::xxh3::xxh3_64;

use super::keys::VALUE_LIMIT;
use super::really_sync::wait_for_room;
use super::{StoreError, Trees, caught};
use crate::codec::stored::Damaged;

/// A reference begins with this, which no encoded value does: those begin with their layout.
const REFERENCE: u8 = 0xFF;

/// How often a value can have been replaced while it was read. Each time takes the writer longer than the reader.
const TRIES: usize = 100;

/// Room for this many bytes is made before a value has been read; a damaged reference may claim more.
const MOST_RESERVED: usize = 64 << 20;

/// Puts a value of any size.
pub fn put(trees: &Trees, tree: &Tree, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
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
    match old {
        Some(old) if old.first() == Some(&REFERENCE) && Reference::parse(&old)? != Reference::of(value) => {
            remove_pieces(trees, tree, key, &old)
        }
        _ => Ok(()),
    }
}

/// Removes a value of any size.
pub fn remove(trees: &Trees, tree: &Tree, key: &[u8]) -> Result<(), StoreError> {
    match tree.remove(key)? {
        Some(old) if old.first() == Some(&REFERENCE) => remove_pieces(trees, tree, key, &old),
        _ => Ok(()),
    }
}

/// Gets a value of any size.
pub fn get(trees: &Trees, tree: &Tree, key: &[u8]) -> Result<Option<IVec>, StoreError> {
    caught("value", "reading it", || find(trees, tree, key))
}

fn find(trees: &Trees, tree: &Tree, key: &[u8]) -> Result<Option<IVec>, StoreError> {
    for _ in 0..TRIES {
        let Some(value) = tree.get(key)? else { return Ok(None) };
        if value.first() != Some(&REFERENCE) {
            return Ok(Some(value));
        }
        if let Some(whole) = assemble(trees, tree, key, &value)? {
            return Ok(Some(whole));
        }
        std::thread::yield_now();
    }
    Err(Damaged { what: "value", reason: "pieces of it are missing".to_owned() }.into())
}

/// The tree's name and the key of the value that a piece belongs to, by the piece's key.
pub fn owner(piece: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = piece.iter().position(|&byte| byte == 0)?;
    let (name, rest) = (&piece[..end], &piece[end + 1..]);
    Some((name, rest.get(..rest.len().checked_sub(12)?)?))
}

/// Whether what is stored under `key` refers to a piece.
pub fn refers_to(value: &[u8], tree: &Tree, key: &[u8], piece: &[u8]) -> Result<bool, StoreError> {
    if value.first() != Some(&REFERENCE) {
        return Ok(false);
    }
    let reference = Reference::parse(value)?;
    let number = piece.last_chunk().map_or(u32::MAX, |number| u32::from_be_bytes(*number));
    Ok(number < reference.pieces() && reference.piece_key(tree, key, number) == piece)
}

fn assemble(trees: &Trees, tree: &Tree, key: &[u8], reference: &[u8]) -> Result<Option<IVec>, StoreError> {
    let reference = Reference::parse(reference)?;
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
        // Values are bounded far below 4 GiB: Kafka's records are.
        Reference { len: u32::try_from(value.len()).unwrap_or(u32::MAX), hash: xxh3_64(value) }
    }

    fn parse(bytes: &[u8]) -> Result<Reference, StoreError> {
        let damaged = || Damaged { what: "value", reason: "its reference is cut short".to_owned() };
        let rest: &[u8; 12] = bytes.get(1..).and_then(|rest| rest.try_into().ok()).ok_or_else(damaged)?;
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
