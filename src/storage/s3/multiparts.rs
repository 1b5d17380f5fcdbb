//! Multipart uploads that nobody completed or aborted. Their parts cost money and are not listed as objects.
//!
//! The crate `object_store` cannot list them, so this asks the store itself, with a signed address.

use std::collections::HashSet;
use std::io;
use std::time::SystemTime;

use bytes::BytesMut;
use futures_util::TryStreamExt;
use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions, Signer};
use quick_xml::Reader;
use quick_xml::events::Event;

use super::bucket::{S3, wait};
use super::client::away;
use crate::storage::dir::BLOBS;
use crate::storage::error::StoreError;
use crate::storage::key::StorageKey;

/// How long a signed address is valid.
const VALID: std::time::Duration = std::time::Duration::from_secs(60);

/// An upload that was begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage) struct Abandoned {
    pub(in crate::storage) name: String,
    id: String,
    begun: SystemTime,
}

/// One answer of a store.
#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    uploads: Vec<Abandoned>,
    /// Where the next page begins.
    next: Option<(String, String)>,
}

impl S3 {
    /// The uploads of blobs that were begun before a time and whose keys are not leased; blocks.
    pub(in crate::storage) fn abandoned(
        &self,
        before: SystemTime,
        leased: &HashSet<StorageKey>,
    ) -> Result<Vec<Abandoned>, StoreError> {
        let is_leased = |name: &str| {
            name.rsplit('/').next().and_then(|key| key.parse().ok()).is_some_and(|key| leased.contains(&key))
        };
        let (mut found, mut marker) = (Vec::new(), None);
        loop {
            let Some(page) = wait(self.multiparts(marker.as_ref()))? else { return Ok(found) };
            let old = page.uploads.into_iter().filter(|upload| upload.begun < before && !is_leased(&upload.name));
            found.extend(old);
            marker = match page.next {
                Some(next) if marker.as_ref() != Some(&next) => Some(next),
                _ => return Ok(found),
            };
        }
    }

    /// Aborts an upload; blocks.
    pub(in crate::storage) fn abort(&self, upload: &Abandoned) -> Result<(), StoreError> {
        let path = Path::parse(&upload.name).map_err(|error| StoreError::Away(io::Error::other(error)))?;
        wait(async {
            match self.in_time(self.0.objects.abort_multipart(&path, &upload.id)).await? {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(away(&error)),
            }
        })
    }

    /// A page of uploads; `None` if the store does not know this request.
    async fn multiparts(&self, marker: Option<&(String, String)>) -> Result<Option<Page>, StoreError> {
        let mut query = vec![("uploads", String::new()), ("prefix", format!("{}/", self.path(BLOBS)))];
        if let Some((key, id)) = marker {
            query.extend([("key-marker", key.clone()), ("upload-id-marker", id.clone())]);
        }
        let options = SignedUrlOptions::default().with_query(query);
        let url = self.in_time(self.0.objects.signed_url_opts(Method::GET, &Path::ROOT, VALID, &options)).await?;
        let url = url.map_err(|error| away(&error))?;
        let invalid = |what: &str| StoreError::Away(io::Error::other(format!("the list of uploads has {what}")));
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = url.as_str().parse().map_err(|_| invalid("an invalid address"))?;
        // The error would show the address with its signature.
        let answer = self.in_time(self.0.http.execute(request)).await?.map_err(|_| invalid("no answer"))?;
        let status = answer.status().as_u16();
        if status == 501 || status == 405 {
            return Ok(None);
        }
        let body = answer.into_body().bytes_stream().try_collect::<BytesMut>();
        let body = self.in_time(body).await?.map_err(|_| invalid("no end"))?;
        if status != 200 {
            let text =
                format!("the object store refuses to list uploads ({status}): allow s3:ListBucketMultipartUploads");
            return Err(StoreError::Away(io::Error::other(text)));
        }
        parse(&String::from_utf8_lossy(&body)).map(Some).ok_or_else(|| invalid("a form that Packhouse cannot read"))
    }
}

/// Reads a `ListMultipartUploadsResult`.
fn parse(text: &str) -> Option<Page> {
    let mut reader = Reader::from_str(text);
    let (mut page, mut path, mut words) = (Page::default(), Vec::<String>::new(), String::new());
    let (mut upload, mut next, mut is_truncated) = (Upload::default(), (String::new(), String::new()), false);
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                path.push(start.local_name().as_ref().to_owned());
                words.clear();
            }
            Event::Text(part) => words.push_str(&part.xml10_content()),
            Event::GeneralRef(reference) => words.push(match &*reference.xml10_content() {
                "quot" => '"',
                "amp" => '&',
                "apos" => '\'',
                "lt" => '<',
                "gt" => '>',
                _ => return None,
            }),
            Event::End(_) => {
                let word = std::mem::take(&mut words);
                let names: Vec<&str> = path.iter().map(String::as_str).collect();
                match *names.as_slice() {
                    [_, "Upload", "Key"] => upload.key = word,
                    [_, "Upload", "UploadId"] => upload.id = word,
                    [_, "Upload", "Initiated"] => upload.begun = word,
                    [_, "Upload"] => page.uploads.push(std::mem::take(&mut upload).read()?),
                    [_, "NextKeyMarker"] => next.0 = word,
                    [_, "NextUploadIdMarker"] => next.1 = word,
                    [_, "IsTruncated"] => is_truncated = word == "true",
                    _ => {}
                }
                path.pop();
            }
            Event::Eof => break,
            _ => {}
        }
    }
    page.next = is_truncated.then_some(next);
    Some(page)
}

#[derive(Default)]
struct Upload {
    key: String,
    id: String,
    begun: String,
}

impl Upload {
    fn read(self) -> Option<Abandoned> {
        let begun: jiff::Timestamp = self.begun.parse().ok()?;
        Some(Abandoned { name: self.key, id: self.id, begun: begun.try_into().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_multipart_uploads_is_read() {
        let text =
            "<?xml version=\"1.0\"?>\n<ListMultipartUploadsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">
            <Bucket>b</Bucket><NextKeyMarker>blobs/ab/x</NextKeyMarker><NextUploadIdMarker>2&amp;</NextUploadIdMarker>
            <IsTruncated>true</IsTruncated><Upload><Key>blobs/ab/x</Key><UploadId>1</UploadId>
            <Initiator><ID>i</ID></Initiator><Initiated>2026-01-02T03:04:05.000Z</Initiated></Upload>
            </ListMultipartUploadsResult>";
        let page = parse(text).unwrap();
        let begun = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_767_323_045);
        assert_eq!(page.uploads, [Abandoned { name: "blobs/ab/x".to_owned(), id: "1".to_owned(), begun }]);
        assert_eq!(page.next, Some(("blobs/ab/x".to_owned(), "2&".to_owned())));
        assert_eq!(parse("<ListMultipartUploadsResult/>"), Some(Page::default()));
        assert_eq!(parse("<a><Upload><Key>k</Key></Upload></a>"), None, "an upload without a date");
    }
}
