//! Files that are part of the program. They change only with it, and are sent compressed to every client that accepts
//! gzip, which every browser does.

use super::accept::takes_coding;
use super::conditional::has_tag;
use crate::error::{Error, Result};
use actix_web::http::header::{self, ContentEncoding, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::io::{Read, Write};

/// A file of the program.
#[derive(Debug, Clone)]
pub struct Asset {
    content_type: &'static str,
    packed: Bytes,
    /// Without quotes. The compressed form's tag has a suffix, because two encodings are two representations.
    tag: String,
}

impl Asset {
    /// Compresses a file and makes an asset of it.
    ///
    /// # Errors
    /// Errors of compression in memory; none is known.
    pub fn new(content_type: &'static str, bytes: &[u8]) -> std::io::Result<Self> {
        Ok(Self::packed(content_type, pack(bytes)?))
    }

    /// An asset from a file that is already compressed with gzip.
    pub fn packed(content_type: &'static str, packed: Bytes) -> Self {
        let digest = Sha256::digest(&packed);
        Self { content_type, tag: crate::domain::digest::to_hex(&digest), packed }
    }

    /// The uncompressed bytes.
    ///
    /// # Errors
    /// For bytes that are not compressed.
    pub fn unpacked(&self) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        GzDecoder::new(&self.packed[..]).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Sends the file, or 304 to a client that has it. Clients ask each time whether it is still the same, so that a
    /// new release of the program is visible at once.
    ///
    /// # Errors
    /// [`Error::Internal`] when it cannot be unpacked.
    pub fn answer(&self, req: &HttpRequest, fields: &[(HeaderName, &'static str)]) -> Result<HttpResponse> {
        let packed = takes_coding(req.headers(), "gzip");
        let etag = if packed { format!("\"{}-gzip\"", self.tag) } else { format!("\"{}\"", self.tag) };
        let mut builder = HttpResponse::Ok();
        if has_tag(req.headers(), &etag) {
            builder = HttpResponse::NotModified();
        }
        builder
            .insert_header((header::ETAG, etag.as_str()))
            .insert_header((header::CACHE_CONTROL, "no-cache"))
            .insert_header((header::VARY, "Accept-Encoding"))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
        for (name, value) in fields {
            builder.insert_header((name.clone(), HeaderValue::from_static(value)));
        }
        if has_tag(req.headers(), &etag) {
            return Ok(builder.finish());
        }
        builder.content_type(self.content_type);
        if packed {
            return Ok(builder.insert_header(ContentEncoding::Gzip).body(self.packed.clone()));
        }
        Ok(builder.body(self.unpacked().map_err(Error::internal)?))
    }
}

/// Compresses bytes with gzip, as small as possible.
///
/// # Errors
/// Errors of compression in memory; none is known.
pub fn pack(bytes: &[u8]) -> std::io::Result<Bytes> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(bytes)?;
    Ok(packer.finish()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_assets_can_be_decompressed() {
        let asset = Asset::new("text/plain", b"a file").unwrap();
        assert_eq!(asset.unpacked().unwrap(), b"a file");
    }
}
