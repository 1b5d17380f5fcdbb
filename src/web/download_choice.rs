//! The right file for the reader: the files of a version by platform, the one for their computer, and the others.

use super::format::Bytes;
use crate::domain::address;
use crate::domain::ids::FileId;
use crate::domain::names::FileName;
use crate::domain::path::VersionPath;
use crate::domain::platform::{Libc, Os, Platform};
use crate::domain::visitor::{Hints, Visitor};
use actix_web::http::header::{self, HeaderMap};
use std::collections::BTreeMap;

/// What the answer depends on, besides the cookie.
pub const VARIES: &str = "User-Agent, Sec-CH-UA-Platform, Sec-CH-UA-Arch, Sec-CH-UA-Bitness";
/// The client hints that browsers send only if they are asked to.
pub const WANTED_HINTS: &str = "Sec-CH-UA-Arch, Sec-CH-UA-Bitness";
/// The most files that are listed below the button; the list of files has all of them.
const MOST: usize = 48;

/// The computer that sent a request.
pub fn visitor(headers: &HeaderMap) -> Visitor {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(|text| text.trim_matches('"'));
    let hints = Hints {
        platform: text("sec-ch-ua-platform"),
        arch: text("sec-ch-ua-arch"),
        bitness: text("sec-ch-ua-bitness"),
    };
    Visitor::read(text(header::USER_AGENT.as_str()).unwrap_or_default(), hints)
}

/// A file to choose.
pub struct Offer {
    pub id: FileId,
    pub name: FileName,
    pub platform: Platform,
    size: Bytes,
    url: String,
}

impl Offer {
    /// For a file of so many bytes.
    pub fn new(path: &VersionPath, id: FileId, name: &FileName, size: u64) -> Self {
        Self {
            id,
            platform: Platform::of(path.package.as_str(), name.as_str()),
            size: Bytes(i64::try_from(size).unwrap_or(i64::MAX)),
            url: address::file_download(&path.owner, &path.package, &path.version, id, name),
            name: name.clone(),
        }
    }

    /// The link to download it.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// The offer that is right for a computer, if there is one.
pub fn best(offers: &[Offer], visitor: Visitor) -> Option<&Offer> {
    let named = offers.iter().map(|offer| (offer.name.as_str(), &offer.platform));
    visitor.choose(named).and_then(|place| offers.get(place))
}

/// The offer whose commands the page shows: the right one, or else the first that is no text or source code.
pub fn foremost(offers: &[Offer], visitor: Visitor) -> Option<&Offer> {
    let usable = || offers.iter().find(|offer| offer.platform.is_usable());
    best(offers, visitor).or_else(usable).or(offers.first())
}

/// A file listed below the button.
pub struct OtherFile {
    /// What tells it apart from the others of its system, such as `arm64 .zip`.
    pub label: String,
    pub name: String,
    pub size: Bytes,
    pub url: String,
    /// Whether it is the button's file.
    pub is_best: bool,
}

/// The button.
pub struct Button {
    pub label: String,
    pub name: String,
    pub size: Bytes,
    pub url: String,
}

/// The right file, and the others by system.
pub struct DownloadChoice {
    pub button: Option<Button>,
    pub groups: Vec<(&'static str, Vec<OtherFile>)>,
    /// Whether some files are only in the list.
    pub is_cut: bool,
    /// The reader's system, if no file is for it.
    pub missing: Option<String>,
}

impl DownloadChoice {
    /// From all offers of a version.
    pub fn new(offers: &[Offer], visitor: Visitor) -> Self {
        let best = best(offers, visitor);
        let mut by_system: BTreeMap<Os, Vec<&Offer>> = BTreeMap::new();
        for offer in offers.iter().filter(|offer| offer.platform.is_usable()) {
            if let Some(os) = offer.platform.os {
                by_system.entry(os).or_default().push(offer);
            }
        }
        let named = by_system.values().map(Vec::len).sum::<usize>();
        let only = match offers {
            [only] => Some(only),
            _ => None,
        };
        let button = best.or(only).map(|offer| Button {
            label: match offer.platform.label() {
                Some(platform) => format!("Download for {platform}"),
                None => "Download file".to_owned(),
            },
            name: offer.name.to_string(),
            size: offer.size,
            url: offer.url.clone(),
        });
        let mut left = MOST;
        let mut group = |(os, offers): (Os, Vec<&Offer>)| {
            let mut taken: Vec<&Offer> = offers.into_iter().take(left).collect();
            taken.sort_by_key(|offer| (Some(offer.id) != best.map(|best| best.id), offer.platform.arch));
            left -= taken.len();
            (os.label(), others(&taken, best.map(|offer| offer.id)))
        };
        let groups: Vec<_> = by_system.into_iter().map(&mut group).filter(|(_, files)| !files.is_empty()).collect();
        let missing = visitor.os.filter(|_| named > 0 && button.is_none());
        Self { button, groups, is_cut: named > MOST, missing: missing.map(|os| os.label().to_owned()) }
    }

    /// Whether there is anything to choose.
    pub fn is_empty(&self) -> bool {
        self.button.is_none() && self.groups.is_empty()
    }

    /// Whether there are files besides the button's.
    pub fn has_others(&self) -> bool {
        self.groups.iter().flat_map(|(_, files)| files).any(|file| !file.is_best)
    }
}

/// The files of one system, with labels that tell them apart.
fn others(offers: &[&Offer], best: Option<FileId>) -> Vec<OtherFile> {
    let labels: Vec<String> = offers.iter().map(|offer| label(offer)).collect();
    let once = |label: &str| labels.iter().filter(|other| *other == label).count() == 1;
    let other = |(offer, label): (&&Offer, &String)| OtherFile {
        label: if once(label) { label.clone() } else { offer.name.last_segment().to_owned() },
        name: offer.name.to_string(),
        size: offer.size,
        url: offer.url.clone(),
        is_best: Some(offer.id) == best,
    };
    offers.iter().zip(&labels).map(other).collect()
}

fn label(offer: &Offer) -> String {
    let Platform { os, arch, libc, .. } = offer.platform;
    let libc = libc.filter(|libc| os == Some(Os::Linux) && *libc == Libc::Musl).map(Libc::label);
    let parts = [arch.map(|arch| arch.label().to_owned()), libc.map(str::to_owned), ending(offer.name.last_segment())];
    let label = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
    if label.is_empty() { offer.name.last_segment().to_owned() } else { label }
}

/// The ending of a name that says what kind of file it is.
fn ending(name: &str) -> Option<String> {
    let (stem, last) = name.rsplit_once('.')?;
    let is_word = last.len() <= 8 && last.chars().any(|c| c.is_ascii_alphabetic());
    if !is_word || !last.chars().all(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    let whole = if stem.ends_with(".tar") { format!(".tar.{last}") } else { format!(".{last}") };
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::platform::Arch;

    fn offers(names: &[&str]) -> Vec<Offer> {
        let path = VersionPath {
            owner: "ada".parse().unwrap(),
            package: "gh".parse().unwrap(),
            version: "1".parse().unwrap(),
        };
        (1..).zip(names).map(|(id, name)| Offer::new(&path, FileId(id), &name.parse().unwrap(), 1)).collect()
    }

    #[test]
    fn the_right_file_is_a_button_and_the_others_are_grouped_by_system() {
        let files = offers(&[
            "gh_2_checksums.txt",
            "gh_2_linux_amd64.deb",
            "gh_2_linux_amd64.tar.gz",
            "gh_2_linux_arm64.tar.gz",
            "gh_2_macOS_arm64.zip",
            "gh_2.src.zip",
        ]);
        let linux = Visitor { os: Some(Os::Linux), arch: Some(Arch::X86_64) };
        let choice = DownloadChoice::new(&files, linux);
        assert_eq!(choice.button.as_ref().unwrap().label, "Download for Linux x86-64");
        assert_eq!(choice.button.as_ref().unwrap().name, "gh_2_linux_amd64.tar.gz");
        let shown: Vec<String> = choice
            .groups
            .iter()
            .map(|(os, files)| {
                format!("{os}: {}", files.iter().map(|file| &*file.label).collect::<Vec<_>>().join(", "))
            })
            .collect();
        assert_eq!(shown, ["Linux: x86-64 .tar.gz, x86-64 .deb, arm64 .tar.gz", "macOS: arm64 .zip"]);
        let windows = DownloadChoice::new(&files, Visitor { os: Some(Os::Windows), arch: None });
        assert!(windows.button.is_none());
        assert_eq!(windows.missing.as_deref(), Some("Windows"));
    }

    #[test]
    fn files_that_a_label_cannot_tell_apart_are_shown_by_name() {
        let files = offers(&["gh_2_linux_amd64.zip", "gh_extended_2_linux_amd64.zip"]);
        let choice = DownloadChoice::new(&files, Visitor::default());
        let labels: Vec<&str> = choice.groups[0].1.iter().map(|file| &*file.label).collect();
        assert_eq!(labels, ["gh_2_linux_amd64.zip", "gh_extended_2_linux_amd64.zip"]);
    }

    #[test]
    fn without_platforms_only_a_single_file_is_a_button() {
        assert_eq!(DownloadChoice::new(&offers(&["a.bin"]), Visitor::default()).button.unwrap().label, "Download file");
        assert!(DownloadChoice::new(&offers(&["a.bin", "b.bin"]), Visitor::default()).is_empty());
        assert_eq!(foremost(&offers(&["README.md", "b.bin"]), Visitor::default()).unwrap().name.as_str(), "b.bin");
    }
}
