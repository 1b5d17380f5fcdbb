//! The marker that identifies a bucket, or a prefix in it, as a Packhouse store.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use super::bucket::{S3, wait, within};
use super::client::away;
use crate::storage::error::StoreError;
use crate::storage::key::StoreId;
use crate::storage::marker::{MARKER, SWEEPS, parse_marker, parse_sweeps, write_marker};

/// A small object that shows whether the bucket can be written.
const PROBE: &str = "probe";
/// How long an object that was written proves that the bucket can be written: each one costs money.
const PROOF: Duration = Duration::from_secs(30);

impl S3 {
    /// The id in the marker. With `create`, an empty bucket becomes a store.
    pub(super) async fn identify(&self, create: bool) -> Result<StoreId, StoreError> {
        match self.read_marker().await? {
            Some(id) => return Ok(id),
            None if !create => return Err(StoreError::NotAStore("the marker object is missing")),
            None => {}
        }
        let prefix = (!self.0.prefix.is_empty()).then(|| self.path(""));
        let mut objects = self.0.objects.list(prefix.as_ref());
        if self.in_time(objects.next()).await?.transpose().map_err(|error| away(&error))?.is_some() {
            return Err(StoreError::NotAStore("the bucket is not empty and has no marker"));
        }
        // Of two servers that start at the same time, the first one decides, if the store knows conditions.
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let marker = PutPayload::from(write_marker(StoreId::new(rand::random())));
        let path = self.path(MARKER);
        match self.in_time(self.0.objects.put_opts(&path, marker, options)).await? {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {}
            Err(error) => return Err(away(&error)),
        }
        self.read_marker().await?.ok_or(StoreError::NotAStore("the marker object could not be read back"))
    }

    async fn read_marker(&self) -> Result<Option<StoreId>, StoreError> {
        self.read_text(MARKER).await?.map(|text| parse_marker(&text)).transpose()
    }

    async fn read_text(&self, name: &str) -> Result<Option<String>, StoreError> {
        let path = self.path(name);
        let read = async { self.0.objects.get(&path).await?.bytes().await };
        match self.in_time(read).await? {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(bytes.get(..256).unwrap_or(&bytes)).into_owned())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(away(&error)),
        }
    }

    async fn verify_marker(&self) -> Result<(), StoreError> {
        match self.read_marker().await? {
            Some(id) if id == self.0.id => Ok(()),
            Some(_) => Err(StoreError::NotAStore("the marker belongs to another store")),
            None => Err(StoreError::NotAStore("the marker object is missing")),
        }
    }

    /// How many sweeps of this store have started, after a check of the marker; blocks.
    pub(in crate::storage) fn sweeps(&self) -> Result<u64, StoreError> {
        wait(async {
            self.verify_marker().await?;
            self.read_text(SWEEPS).await?.map_or(Ok(0), |text| parse_sweeps(&text))
        })
    }

    /// Records that a sweep has started; blocks. Of two servers' numbers that are written at once, the larger may be
    /// lost. The database has it, and a sweep of an older database is still noticed by the other number.
    pub(in crate::storage) fn set_sweeps(&self, sweeps: u64) -> Result<(), StoreError> {
        if self.sweeps()? >= sweeps {
            return Ok(());
        }
        let path = self.path(SWEEPS);
        let text = PutPayload::from(format!("{sweeps}\n"));
        wait(async { self.in_time(self.0.objects.put(&path, text)).await?.map(drop).map_err(|error| away(&error)) })
    }

    /// Whether the bucket answers, without another attempt; blocks.
    pub(in crate::storage) fn check_readable(&self) -> Result<(), StoreError> {
        let path = self.path(MARKER);
        wait(async {
            match within(self.0.patience, self.0.once.head(&path)).await? {
                Ok(_) => Ok(()),
                Err(object_store::Error::NotFound { .. }) => Err(StoreError::NotAStore("the marker object is missing")),
                Err(error) => Err(away(&error)),
            }
        })
    }

    /// Whether the bucket takes objects, at most half a minute ago; blocks.
    pub(in crate::storage) fn check_ready(&self) -> Result<(), StoreError> {
        let known = || self.0.readiness.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known().is_some_and(|at| at.elapsed() < PROOF) {
            return Ok(());
        }
        let path = self.path(PROBE);
        let put = async { self.0.once.put(&path, PutPayload::from_static(b"ready?\n")).await };
        wait(async { within(self.0.patience, put).await?.map_err(|error| away(&error)) })?;
        *known() = Some(Instant::now());
        Ok(())
    }
}
