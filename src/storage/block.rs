//! The buffer that collects a block of an upload, in every store.

use super::digests::BLOCK;
use bytes::Bytes;

/// The bytes of a full block: 1 MiB.
pub(super) const BLOCK_SIZE: usize = BLOCK as usize;
const FIRST_BUFFER: usize = 16 << 10;

/// Moves bytes from the front of `chunk` into `block` until either the chunk is empty or the block is full. The buffer
/// doubles as it fills, so that a small upload takes little memory.
pub(super) fn fill(block: &mut Vec<u8>, chunk: &mut Bytes) {
    let piece = chunk.split_to(chunk.len().min(BLOCK_SIZE - block.len()));
    let needed = block.len() + piece.len();
    if needed > block.capacity() {
        let capacity = needed.max(2 * block.capacity()).clamp(FIRST_BUFFER, BLOCK_SIZE);
        block.reserve_exact(capacity - block.len());
    }
    block.extend_from_slice(&piece);
}
