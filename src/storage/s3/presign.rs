//! Addresses that let anyone download one blob for some time.

use std::time::Duration;

use object_store::signer::{Method, SignedUrlOptions, Signer};

use super::bucket::S3;
use super::client::away;
use crate::storage::error::StoreError;
use crate::storage::key::StorageKey;

impl S3 {
    /// The address of a blob with a signature in it, and with the headers that the answer will have.
    pub(in crate::storage) async fn presign(
        &self,
        key: &StorageKey,
        disposition: &str,
        content_type: &str,
        valid: Duration,
    ) -> Result<String, StoreError> {
        let headers = [("response-content-disposition", disposition), ("response-content-type", content_type)];
        let options = SignedUrlOptions::default().with_query(headers);
        let path = self.blob(key);
        let signed = self.0.objects.signed_url_opts(Method::GET, &path, valid, &options);
        Ok(self.in_time(signed).await?.map_err(|error| away(&error))?.into())
    }
}
