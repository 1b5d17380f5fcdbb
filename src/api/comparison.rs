//! What changed between two versions of a package.

use super::endpoint::{Json, Query};
use super::packages::package_path;
use crate::auth::call::Call;
use crate::domain::names::FileName;
use crate::domain::path::PackagePath;
use crate::domain::version::Version;
use crate::error::{Error, Result};
use crate::registry::access::can_read;
use crate::registry::packages::comparison::{self, ComparedFile, ComparedVersions, Difference};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The query of [`get()`].
#[derive(Deserialize, IntoParams)]
pub struct ComparisonQuery {
    /// The older version; by default, the one before the newer.
    from: Option<Version>,
    /// The newer version; by default, the latest.
    to: Option<Version>,
}

/// A file in one of the versions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ComparedFile)]
pub struct ComparedFileBody {
    name: FileName,
    /// In bytes.
    size: i64,
    #[schema(pattern = "^[0-9a-f]{64}$")]
    sha256: String,
}

impl From<&ComparedFile> for ComparedFileBody {
    fn from(file: &ComparedFile) -> Self {
        Self { name: file.name.clone(), size: file.size, sha256: file.sha256.to_hex() }
    }
}

/// A file that differs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FileDifference)]
pub struct DifferenceBody {
    /// `renamed` means the same content under a name in which only the version differs.
    #[schema(pattern = "^(added|removed|changed|renamed)$")]
    change: &'static str,
    /// Null if it was added.
    from: Option<ComparedFileBody>,
    /// Null if it was removed.
    to: Option<ComparedFileBody>,
}

impl From<&Difference> for DifferenceBody {
    fn from(difference: &Difference) -> Self {
        let (change, from, to) = match difference {
            Difference::Added(to) => ("added", None, Some(to)),
            Difference::Removed(from) => ("removed", Some(from), None),
            Difference::Changed(from, to) => ("changed", Some(from), Some(to)),
            Difference::Renamed(from, to) => ("renamed", Some(from), Some(to)),
        };
        Self { change, from: from.map(Into::into), to: to.map(Into::into) }
    }
}

/// What differs between two versions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Comparison)]
pub struct ComparisonBody {
    from: Version,
    to: Version,
    /// At most 2,000, by name.
    files: Vec<DifferenceBody>,
    /// Whether there are more.
    truncated: bool,
    /// How many files have the same name and content.
    unchanged: i64,
    /// How many bytes the newer version has more; negative if it has fewer.
    size_difference: i64,
}

/// `GET /packages/{owner}/generic/{name}/-/compare`.
pub async fn get(call: Call, query: Query<ComparisonQuery>) -> Result<Json<ComparisonBody>> {
    let PackagePath { owner, package } = package_path(&call).await?;
    let query = query.read();
    let ComparedVersions { from, to, files } = call
        .reading(move |conn, caller| {
            let right = can_read(conn, caller, &owner, Some(&package))?;
            let query = query.as_ref().map_err(Error::again)?;
            comparison::between(conn, &right, &package, (query.from.clone(), query.to.clone()))
        })
        .await?;
    Ok(Json(ComparisonBody {
        size_difference: to.size - from.size,
        from: from.version,
        to: to.version,
        files: files.differences.iter().map(Into::into).collect(),
        truncated: files.is_cut,
        unchanged: files.unchanged,
    }))
}
