//! The buffer that collects a block of an upload, in every store.

use super::digests::BLOCK;
use bytes::Bytes;

/// The bytes of a full block: 1 MiB.
pub(super) const BLOCK_SIZE: usize = BLOCK as usize;
/// What direct I/O demands of addresses in memory and in the file: no usual disk has larger sectors.
pub(super) const ALIGNMENT: usize = 4096;
const FIRST_BUFFER: usize = 16 << 10;

/// Up to 1 MiB of an upload. The memory doubles as it fills, so that a small upload takes little of it. A full block
/// begins at a multiple of [`ALIGNMENT`].
#[derive(Debug, Default)]
pub(super) struct Block {
    memory: Vec<u8>,
    /// How many bytes of the memory are skipped for the alignment.
    start: usize,
}

impl Block {
    pub(super) fn bytes(&self) -> &[u8] {
        self.memory.get(self.start..).unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.memory.len() - self.start
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() == BLOCK_SIZE
    }

    /// Moves bytes from the front of `chunk` until either the chunk is empty or the block is full.
    pub(super) fn fill(&mut self, chunk: &mut Bytes) {
        let piece = chunk.split_to(chunk.len().min(BLOCK_SIZE - self.len()));
        let needed = self.len() + piece.len();
        if self.start + needed > self.memory.capacity() {
            self.grow(needed.max(2 * self.len()).clamp(FIRST_BUFFER, BLOCK_SIZE));
        }
        self.memory.extend_from_slice(&piece);
    }

    fn grow(&mut self, capacity: usize) {
        if capacity < BLOCK_SIZE {
            return self.memory.reserve_exact(capacity - self.len());
        }
        let mut memory: Vec<u8> = Vec::with_capacity(BLOCK_SIZE + ALIGNMENT);
        let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        memory.resize(start, 0);
        memory.extend_from_slice(self.bytes());
        *self = Self { memory, start };
    }

    /// Forgets the bytes and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.memory.truncate(self.start);
    }

    /// The bytes, without copying them.
    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::from(self.memory).slice(self.start..)
    }
}
