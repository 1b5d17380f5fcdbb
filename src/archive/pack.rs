//! Packs files into an archive, some hundred kilobytes at a time, on a blocking thread. Whatever the size of the
//! archive, in memory are one piece of it and the names of some files.

use super::tar::{self, Window};
use crate::error::{Error, Result};
use crate::storage::{BlobStore, BlockingReader, Stored};
use bytes::Bytes;
use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, ZipWriter};

/// The most bytes of a blob that are read at once.
const READ: usize = 256 << 10;
/// How many bytes of files one step reads at most, so that nobody holds a thread for long.
const MOST_READ: usize = 4 << 20;
/// The size from which a file in a zip archive needs a number of 64 bits.
const LARGE: u64 = u32::MAX as u64;

/// A file to pack.
pub struct Member {
    pub path: String,
    pub stored: Stored,
}

/// Where the writer of a zip archive, which owns its output, puts it.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Form {
    Tar(Window, Vec<u8>),
    Gzip(Box<GzEncoder<Vec<u8>>>),
    Zip(Option<Box<ZipWriter<StreamWriter<Shared>>>>, Shared),
}

/// An archive that is being packed.
pub struct Packer {
    store: BlobStore,
    form: Form,
    queue: VecDeque<Member>,
    /// The file that is being read, and its size.
    open: Option<(BlockingReader, u64)>,
    is_done: bool,
}

impl Packer {
    fn new(store: BlobStore, form: Form) -> Self {
        Self { store, form, queue: VecDeque::new(), open: None, is_done: false }
    }

    /// The bytes of a tar archive in this window. The first file to be added is the first that the window contains.
    pub fn tar(store: BlobStore, window: Window) -> Self {
        Self::new(store, Form::Tar(window, Vec::new()))
    }

    /// A tar archive, compressed. Most of what is published is compressed already, so the fastest level is used.
    pub fn tar_gz(store: BlobStore) -> Self {
        let encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::fast());
        Self::new(store, Form::Gzip(Box::new(encoder)))
    }

    /// A zip archive, not compressed.
    pub fn zip(store: BlobStore) -> Self {
        let out = Shared::default();
        Self::new(store, Form::Zip(Some(Box::new(ZipWriter::new_stream(out.clone()))), out))
    }

    /// Whether it needs more files, unless there are none.
    pub fn is_hungry(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether everything was returned.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Adds files to be packed.
    pub fn add(&mut self, members: impl IntoIterator<Item = Member>) {
        self.queue.extend(members);
    }

    /// Packs until there are about `most` bytes or no more files, and returns them; blocks. After the last files it
    /// ends the archive. What compresses very well may need several steps until there is a byte.
    ///
    /// # Errors
    /// [`Error::Busy`] when a blob cannot be read or is damaged: nothing of the last part of it was returned.
    pub fn step(&mut self, most: usize, is_last: bool) -> Result<Bytes> {
        let mut read = 0;
        while self.ready() < most && read < MOST_READ {
            if let Some((reader, size)) = &mut self.open {
                let size = *size;
                match reader.next(READ)? {
                    Some(bytes) => {
                        read += bytes.len();
                        self.data(&bytes)?;
                    }
                    None => {
                        self.open = None;
                        self.end(size)?;
                    }
                }
            } else if let Some(member) = self.queue.pop_front() {
                self.begin(member)?;
            } else {
                if is_last && !self.is_done {
                    self.finish()?;
                }
                break;
            }
        }
        Ok(self.take())
    }

    fn begin(&mut self, Member { path, stored }: Member) -> Result<()> {
        let size = stored.size;
        let range = match &mut self.form {
            Form::Tar(window, out) => {
                window.push(out, &tar::head(&path, size).map_err(Error::internal)?);
                window.enter(size)
            }
            Form::Gzip(encoder) => {
                let head = tar::head(&path, size).map_err(Error::internal)?;
                encoder.write_all(&head).map_err(Error::internal)?;
                0..size
            }
            Form::Zip(writer, _) => {
                let options = SimpleFileOptions::DEFAULT
                    .compression_method(CompressionMethod::Stored)
                    .unix_permissions(0o644)
                    .large_file(size >= LARGE);
                if let Some(writer) = writer {
                    writer.start_file(path, options).map_err(Error::internal)?;
                }
                0..size
            }
        };
        match range.is_empty() {
            true => self.end(size),
            false => {
                self.open = Some((self.store.blocking_reader(stored, range)?, size));
                Ok(())
            }
        }
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.form {
            Form::Tar(window, out) => window.push(out, bytes),
            Form::Gzip(encoder) => encoder.write_all(bytes).map_err(Error::internal)?,
            Form::Zip(Some(writer), _) => writer.write_all(bytes).map_err(Error::internal)?,
            Form::Zip(None, _) => {}
        }
        Ok(())
    }

    fn end(&mut self, size: u64) -> Result<()> {
        self.zeros(tar::padding(size))
    }

    /// Zeros between the parts of a tar archive.
    fn zeros(&mut self, count: usize) -> Result<()> {
        const ZEROS: [u8; tar::END] = [0; tar::END];
        let zeros = ZEROS.get(..count).unwrap_or(&ZEROS);
        match &mut self.form {
            Form::Tar(window, out) => window.push(out, zeros),
            Form::Gzip(encoder) => encoder.write_all(zeros).map_err(Error::internal)?,
            Form::Zip(..) => {}
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.is_done = true;
        self.zeros(tar::END)?;
        match &mut self.form {
            Form::Tar(..) => {}
            Form::Gzip(encoder) => encoder.try_finish().map_err(Error::internal)?,
            Form::Zip(writer, _) => {
                if let Some(writer) = writer.take() {
                    writer.finish().map_err(Error::internal)?;
                }
            }
        }
        Ok(())
    }

    /// How many bytes can be returned.
    fn ready(&self) -> usize {
        match &self.form {
            Form::Tar(_, out) => out.len(),
            Form::Gzip(encoder) => encoder.get_ref().len(),
            Form::Zip(_, out) => out.len(),
        }
    }

    fn take(&mut self) -> Bytes {
        match &mut self.form {
            Form::Tar(_, out) => std::mem::take(out).into(),
            Form::Gzip(encoder) => std::mem::take(encoder.get_mut()).into(),
            Form::Zip(_, out) => out.take().into(),
        }
    }
}
