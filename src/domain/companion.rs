//! Files that are about another file of the same version: its checksum, signature, parts list (SBOM) or attestation. They
//! are recognized by their names, and shown with the file that they are about.

use std::collections::HashMap;

/// What a file says about another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Companion {
    Checksum,
    Signature,
    Certificate,
    Sbom,
    Attestation,
}

impl Companion {
    /// What to call it in a list.
    pub fn label(self) -> &'static str {
        match self {
            Self::Checksum => "Checksum",
            Self::Signature => "Signature",
            Self::Certificate => "Certificate",
            Self::Sbom => "SBOM",
            Self::Attestation => "Attestation",
        }
    }
}

/// The ending after the name of the file that it is about, in lower case. The first one that fits counts.
const ENDINGS: &[(&str, Companion)] = &[
    (".sha256.txt", Companion::Checksum),
    (".sha512.txt", Companion::Checksum),
    (".sha256sum", Companion::Checksum),
    (".sha512sum", Companion::Checksum),
    (".sha1sum", Companion::Checksum),
    (".md5sum", Companion::Checksum),
    (".sha256", Companion::Checksum),
    (".sha384", Companion::Checksum),
    (".sha512", Companion::Checksum),
    (".sha1", Companion::Checksum),
    (".md5", Companion::Checksum),
    (".b2sum", Companion::Checksum),
    (".b3", Companion::Checksum),
    (".digest", Companion::Checksum),
    (".asc", Companion::Signature),
    (".sig", Companion::Signature),
    (".sign", Companion::Signature),
    (".signature", Companion::Signature),
    (".minisig", Companion::Signature),
    (".sigstore.json", Companion::Signature),
    (".sigstore", Companion::Signature),
    (".cosign.bundle", Companion::Signature),
    (".bundle", Companion::Signature),
    (".p7s", Companion::Signature),
    ("-keyless.sig", Companion::Signature),
    ("-keyless.pem", Companion::Certificate),
    (".pem", Companion::Certificate),
    (".crt", Companion::Certificate),
    (".cert", Companion::Certificate),
    (".cer", Companion::Certificate),
    (".sbom.json", Companion::Sbom),
    (".sbom.xml", Companion::Sbom),
    (".sbom", Companion::Sbom),
    (".spdx.json", Companion::Sbom),
    (".spdx.rdf", Companion::Sbom),
    (".spdx", Companion::Sbom),
    (".cdx.json", Companion::Sbom),
    (".cdx.xml", Companion::Sbom),
    (".cyclonedx.json", Companion::Sbom),
    (".bom.json", Companion::Sbom),
    (".intoto.jsonl", Companion::Attestation),
    (".intoto.json", Companion::Attestation),
    (".provenance.json", Companion::Attestation),
    (".provenance", Companion::Attestation),
    (".attestation", Companion::Attestation),
    (".att", Companion::Attestation),
];

/// The names of the files that a file may be about, the longest first, each with what it says about that file.
fn bases(lower: &str) -> impl Iterator<Item = (&str, Companion)> {
    ENDINGS.iter().filter_map(move |(ending, companion)| Some((lower.strip_suffix(ending)?, *companion)))
}

/// Finds the companions among the files of a version, by their names in lower case. The answer has for each file, in
/// the same order, the place of the file that it is about; `None` for a file that isn't about another.
///
/// A companion of a companion, such as a signature of a checksum, belongs to the same file. `tool-1.0.sbom.json` also
/// belongs to `tool-1.0.tar.gz`, if no other file begins like this.
pub fn attach(lower_names: &[impl AsRef<str>]) -> Vec<Option<(usize, Companion)>> {
    let places: HashMap<&str, usize> =
        lower_names.iter().enumerate().map(|(place, name)| (name.as_ref(), place)).collect();
    let stems = stems(lower_names);
    let direct = |(place, name): (usize, &str)| {
        let exact = bases(name).find_map(|(base, what)| Some((*places.get(base)?, what)));
        let by_stem = || bases(name).find_map(|(base, what)| Some((stems.get(base).copied().flatten()?, what)));
        exact.or_else(by_stem).filter(|(of, _)| *of != place)
    };
    let direct: Vec<_> = lower_names.iter().map(AsRef::as_ref).enumerate().map(direct).collect();
    let root = |first: Option<(usize, Companion)>| {
        let (mut of, what) = first?;
        // Each step takes an ending off, so this ends.
        while let Some((next, _)) = direct.get(of).copied().flatten() {
            of = next;
        }
        Some((of, what))
    };
    direct.iter().map(|first| root(*first)).collect()
}

/// The files by their names without the ending of an archive; `None` where several have the same.
fn stems(lower_names: &[impl AsRef<str>]) -> HashMap<&str, Option<usize>> {
    const ARCHIVES: &[&str] =
        &[".tar.gz", ".tar.xz", ".tar.bz2", ".tar.zst", ".tgz", ".zip", ".exe", ".msi", ".deb", ".rpm", ".apk", ".jar"];
    let mut found: HashMap<&str, Option<usize>> = HashMap::new();
    for (place, name) in lower_names.iter().enumerate() {
        if let Some(stem) = ARCHIVES.iter().find_map(|ending| name.as_ref().strip_suffix(ending)) {
            found.entry(stem).and_modify(|known| *known = None).or_insert(Some(place));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The companions of a version, each as `name: what of file`.
    fn attached(names: &str) -> Vec<String> {
        let names: Vec<&str> = names.split_whitespace().collect();
        let found = attach(&names).into_iter().zip(&names);
        found.filter_map(|(of, name)| of.map(|(of, what)| format!("{name}: {what:?} of {}", names[of]))).collect()
    }

    #[test]
    fn checksums_signatures_and_parts_lists_belong_to_their_file() {
        assert_eq!(
            attached("t.tar.gz t.tar.gz.sha256 t.tar.gz.asc t.tar.gz.sbom.json t.tar.gz.intoto.jsonl t.tar.gz.minisig"),
            [
                "t.tar.gz.sha256: Checksum of t.tar.gz",
                "t.tar.gz.asc: Signature of t.tar.gz",
                "t.tar.gz.sbom.json: Sbom of t.tar.gz",
                "t.tar.gz.intoto.jsonl: Attestation of t.tar.gz",
                "t.tar.gz.minisig: Signature of t.tar.gz",
            ]
        );
        assert_eq!(
            attached("cosign cosign-keyless.pem cosign-keyless.sig cosign.sig"),
            [
                "cosign-keyless.pem: Certificate of cosign",
                "cosign-keyless.sig: Signature of cosign",
                "cosign.sig: Signature of cosign"
            ]
        );
        assert_eq!(
            attached("sha256sums sha256sums.asc checksums.txt checksums.txt.sigstore.json"),
            ["sha256sums.asc: Signature of sha256sums", "checksums.txt.sigstore.json: Signature of checksums.txt"]
        );
    }

    #[test]
    fn a_signature_of_a_checksum_belongs_to_the_file_itself() {
        assert_eq!(
            attached("t.zip.sha256.asc t.zip.sha256 t.zip"),
            ["t.zip.sha256.asc: Signature of t.zip", "t.zip.sha256: Checksum of t.zip"]
        );
    }

    #[test]
    fn a_companion_may_leave_out_the_ending_of_the_only_file_it_can_be_about() {
        assert_eq!(attached("t-1.0.tar.gz t-1.0.spdx.json"), ["t-1.0.spdx.json: Sbom of t-1.0.tar.gz"]);
        assert_eq!(attached("t-1.0.tar.gz t-1.0.zip t-1.0.spdx.json"), Vec::<String>::new());
    }

    #[test]
    fn what_is_about_no_file_of_the_version_stands_for_itself() {
        assert_eq!(attached("ca.pem server.crt sbom.json other.sha256 .asc"), Vec::<String>::new());
        assert_eq!(attached(""), Vec::<String>::new());
    }
}
