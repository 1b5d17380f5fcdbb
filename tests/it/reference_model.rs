//! Random names, ranges and sequences of changes, compared with a simple reference model. Each test prints its seed,
//! and the variable `TEST_SEED` repeats it.

use crate::support::wire::send;
use crate::support::{Plan, Site, TestStore, cluster::cluster, noise, path};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::collections::BTreeMap;

/// A source of random cases that can be repeated.
fn runner() -> TestRunner {
    let seed = std::env::var("TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    eprintln!("TEST_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

fn cases<S: Strategy>(runner: &mut TestRunner, strategy: &S, count: usize) -> Vec<S::Value> {
    (0..count).map(|_| strategy.new_tree(runner).unwrap().current()).collect()
}

/// The rules of the manual: a set of characters, a length, and exceptions.
fn package_is_good(name: &[u8]) -> bool {
    let letters: &[u8] = b"-_+.0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let single: &[u8] = &letters[4..];
    (1..=255).contains(&name.len())
        && name.iter().all(|byte| letters.contains(byte))
        && name != b".."
        && (name.len() > 1 || single.contains(&name[0]))
}

fn file_is_good(name: &[u8]) -> bool {
    let letters: &[u8] = b"-_+=:;.()[]{}~!@#$%^& 0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    (1..=255).contains(&name.len())
        && name.iter().all(|byte| letters.contains(byte))
        && !name.starts_with(b" ")
        && !name.ends_with(b" ")
        && name != b"."
        && name != b".."
}

fn version_is_good(name: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(name) else { return false };
    let outer = |c: Option<char>| c.is_none_or(char::is_whitespace);
    let control = |c: char| matches!(u32::from(c), 0..=0x1f | 0x7f..=0x9f);
    (1..=255).contains(&name.len())
        && !outer(text.chars().next())
        && !outer(text.chars().last())
        && !text.chars().any(control)
        && text != "."
        && text != ".."
}

/// Names at the edges of the rules: allowed characters, dots, spaces, unusual characters, any bytes, long names.
fn names() -> impl Strategy<Value = Vec<u8>> {
    let odd = prop::sample::select(vec![
        " ", ".", "..", "/", "\\", "%", "+", "-", "_", "~", "\0", "\n", "\t", "\u{a0}", "\u{2028}", "\u{feff}", "ü",
        "ſ", "İ", "🦀", "\u{85}", "\u{7f}", "<", ">", "\"", "'", "*", "?", "#", "&", ";", ":", "|", "`", "$(id)", "A",
    ]);
    let pieces = prop_oneof![
        4 => "[0-9A-Za-z_.+-]{1,4}".prop_map(String::into_bytes),
        3 => odd.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..3),
        1 => (250_usize..258).prop_map(|length| vec![b'x'; length]),
    ];
    prop::collection::vec(pieces, 1..4).prop_map(|pieces| pieces.concat())
}

fn encoded(name: &[u8]) -> String {
    name.iter().map(|byte| format!("%{byte:02x}")).collect()
}

#[tokio::test]
async fn random_names_are_stored_exactly_if_the_rules_allow_them() {
    let site = Site::new();
    let mut runner = runner();
    let bearer = format!("Bearer {}", cluster().people.ci);
    let fields = [("Authorization", &*bearer), ("Content-Length", "1")];
    let mut seen = [0_usize; 2];
    for (at, name) in cases(&mut runner, &names(), 400).into_iter().enumerate() {
        let raw = encoded(&name);
        let (target, good) = match at % 3 {
            0 => (format!("/api/packages/ada/generic/{raw}/v{at}/f"), package_is_good(&name)),
            1 => (format!("/api/packages/ada/generic/p{at}/{raw}/f"), version_is_good(&name)),
            _ => (format!("/api/packages/ada/generic/p{at}/v/{raw}"), file_is_good(&name)),
        };
        let answer = send(site.address, "PUT", &target, &fields, b"x").await;
        assert_eq!(answer.status, if good { 201 } else { 400 }, "{:?} {target}", String::from_utf8_lossy(&name));
        seen[usize::from(good)] += 1;
        let got = send(site.address, "GET", &target, &[], b"").await;
        assert_eq!(got.status, if good { 200 } else { 404 }, "{target}");
        if good {
            let shown = String::from_utf8(name).unwrap();
            let list = match at % 3 {
                0 => path(&["ada", &shown]),
                1 => path(&["ada", &format!("p{at}")]),
                _ => path(&["ada", &format!("p{at}"), "v"]),
            };
            // Names that HTTP clients would normalize come back unchanged (`.` and `..` are invalid anyway).
            let listed = send(site.address, "GET", &list, &[], b"").await;
            let expected = if at % 3 == 0 { format!("v{at}") } else { shown };
            assert!(listed.text().lines().any(|line| line == expected), "{expected:?} in {:?}", listed.text());
        }
    }
    assert!(seen.iter().all(|count| *count > 40), "both valid and invalid names were tried: {seen:?}");
    assert!(site.db_broken().await.is_empty());
}

/// The positions that one range-spec of RFC 9110 §14 requests, one by one.
fn positions((first, last, suffix): (usize, Option<usize>, bool), size: usize) -> Vec<usize> {
    let holds = |at: &usize| if suffix { size - at <= first } else { *at >= first && last.is_none_or(|l| *at <= l) };
    (0..size).filter(holds).collect()
}

#[tokio::test]
async fn random_ranges_give_the_requested_bytes() {
    let site = Site::new();
    let mut runner = runner();
    for size in [0_usize, 1, 40, 70_000] {
        let bytes = noise(size);
        let file = path(&["ada", "tool", "1", &format!("f{size}")]);
        site.ci().publish(&file, bytes.clone()).await;
        let spec = (0..size + 20, prop::option::of(0..size + 20), any::<bool>());
        for (first, last, suffix) in cases(&mut runner, &spec, 40) {
            let text = match (suffix, last) {
                (true, _) => format!("bytes=-{first}"),
                (false, None) => format!("bytes={first}-"),
                (false, Some(last)) => format!("bytes={first}-{last}"),
            };
            let answer = site.anon().get(&file).header("range", &text).await;
            let malformed = !suffix && last.is_some_and(|last| last < first);
            let wanted = positions((first, last, suffix), size);
            let expected: Vec<u8> = wanted.iter().map(|at| bytes[*at]).collect();
            match (malformed, wanted.is_empty()) {
                (true, _) => assert!(answer.status == 200 && answer.body == bytes, "{text} of {size}"),
                // A suffix of an empty file is satisfiable, but `Content-Range` has no form for it.
                (_, true) if suffix && first > 0 => assert_eq!(answer.status, 200, "{text} of {size}"),
                (_, true) => assert_eq!(answer.status, 416, "{text} of {size}"),
                (_, false) => {
                    assert!(answer.status == 206 && answer.body == expected, "{text} of {size}");
                    let place = format!("bytes {}-{}/{size}", wanted[0], wanted[wanted.len() - 1]);
                    assert_eq!(answer.header("content-range"), Some(&*place));
                }
            }
        }
    }
}

/// A change of the registry. The numbers choose from a few names, so that changes often have the same target.
#[derive(Debug, Clone)]
enum Step {
    Publish { at: [usize; 3], body: usize, declared: bool },
    Fetch { at: [usize; 3] },
    DeleteFile { at: [usize; 3] },
    DeleteVersion { at: [usize; 2] },
    List { package: usize },
    Sweep,
}

fn steps() -> impl Strategy<Value = Step> {
    let at = || [0..2_usize, 0..3, 0..3];
    prop_oneof![
        5 => (at(), 0..4_usize, any::<bool>()).prop_map(|(at, body, declared)| Step::Publish { at, body, declared }),
        3 => at().prop_map(|at| Step::Fetch { at }),
        2 => at().prop_map(|at| Step::DeleteFile { at }),
        1 => [0..2_usize, 0..3].prop_map(|at| Step::DeleteVersion { at }),
        2 => (0..2_usize).prop_map(|package| Step::List { package }),
        1 => Just(Step::Sweep),
    ]
}

const PACKAGES: [[&str; 2]; 2] = [["tool", "TOOL"], ["Other.Kit", "other.kit"]];
const VERSIONS: [[&str; 2]; 3] = [["1.0", "1.0"], ["2.0-RC", "2.0-rc"], ["a/b ü", "A/B ü"]];
const FILES: [[&str; 2]; 3] = [["a.bin", "A.BIN"], ["[b] c", "[B] C"], ["x.sha256", "X.SHA256"]];

/// The expected files in the order of publishing: numbers of package, version and file, and the content.
#[derive(Default)]
struct Model {
    files: BTreeMap<[usize; 3], (usize, usize)>,
    versions: BTreeMap<[usize; 2], usize>,
    clock: usize,
}

impl Model {
    fn publish(&mut self, at: [usize; 3], body: usize, declared: bool) -> u16 {
        self.clock += 1;
        match self.files.get(&at) {
            Some((_, stored)) if declared && *stored == body => 200,
            Some(_) => 409,
            None => {
                self.files.insert(at, (self.clock, body));
                self.versions.entry([at[0], at[1]]).or_insert(self.clock);
                201
            }
        }
    }

    fn delete(&mut self, gone: impl Fn(&[usize; 3]) -> bool) -> u16 {
        let before = self.files.len();
        self.files.retain(|at, _| !gone(at));
        let files = &self.files;
        self.versions.retain(|at, _| files.keys().any(|file| file[..2] == at[..]));
        if self.files.len() < before { 204 } else { 404 }
    }

    /// The versions of a package, oldest first.
    fn versions_of(&self, package: usize) -> Vec<usize> {
        let mut found: Vec<_> = self.versions.iter().filter(|(at, _)| at[0] == package).collect();
        found.sort_by_key(|(_, since)| **since);
        found.into_iter().map(|(at, _)| at[1]).collect()
    }

    fn files_of(&self, version: [usize; 2]) -> Vec<usize> {
        let mut found: Vec<_> = self.files.iter().filter(|(at, _)| at[..2] == version).collect();
        found.sort_by_key(|(_, (since, _))| *since);
        found.into_iter().map(|(at, _)| at[2]).collect()
    }
}

/// The address of a file, version or package, with its names in the first or the other spelling.
fn address(at: &[usize], spelling: usize) -> String {
    let names = [PACKAGES[at[0]][spelling], at.get(1).map_or("", |at| VERSIONS[*at][spelling])];
    let file = at.get(2).map_or("", |at| FILES[*at][spelling]);
    path(&[&["ada"][..], &[names[0], names[1], file][..at.len()]].concat())
}

async fn check(site: &Site, model: &Model, package: usize, spelling: usize) {
    let versions = model.versions_of(package);
    let listed = site.anon().get(&address(&[package], spelling)).await;
    let folded = |list: &crate::support::Answer| list.text().to_lowercase();
    if versions.is_empty() {
        assert_eq!(listed.status, 404);
        return;
    }
    let expected: String = versions.iter().map(|at| VERSIONS[*at][1].to_lowercase() + "\n").collect();
    assert_eq!(folded(&listed), expected);
    for version in versions {
        let listed = site.anon().get(&address(&[package, version], spelling)).await.is(200);
        let files = model.files_of([package, version]);
        assert_eq!(folded(&listed), files.iter().map(|at| FILES[*at][1].to_lowercase() + "\n").collect::<String>());
    }
}

#[tokio::test]
async fn random_changes_leave_the_same_state_as_a_reference_model() {
    agree_with_the_model(&[Site::start(Plan { real_time: true, ..Plan::default() })]).await;
}

#[tokio::test]
async fn random_changes_at_two_servers_of_a_bucket_agree_with_the_model_too() {
    let first = Site::start(Plan { real_time: true, store: TestStore::NewBucket, ..Plan::default() });
    let second = first.beside(Plan { real_time: true, ..Plan::default() });
    agree_with_the_model(&[first, second]).await;
}

/// Sends random changes and questions to servers of one database, each to another server than the one before.
async fn agree_with_the_model(sites: &[Site]) {
    let bodies = [noise(0), noise(100), noise(70_000), noise(1_200_000)];
    let mut runner = runner();
    let mut model = Model::default();
    let mut changes = 0;
    for (number, step) in cases(&mut runner, &steps(), 300).into_iter().enumerate() {
        let (spelling, site) = (number / 2 % 2, &sites[number % sites.len()]);
        match step.clone() {
            Step::Publish { at, body, declared } => {
                let request = site.ci().put(&address(&at, spelling), bodies[body].clone());
                let sha256 = crate::support::sha256(&bodies[body]);
                let answer = if declared { request.header("x-checksum-sha256", sha256).await } else { request.await };
                let expected = model.publish(at, body, declared);
                assert_eq!(answer.status, expected, "step {number}: {step:?}");
                changes += usize::from(expected == 201);
            }
            Step::Fetch { at } => {
                let answer = site.anon().get(&address(&at, spelling)).await;
                match model.files.get(&at) {
                    Some((_, body)) => assert!(answer.is(200).body == bodies[*body], "step {number}: {step:?}"),
                    None => assert_eq!(answer.status, 404, "step {number}: {step:?}"),
                }
            }
            Step::DeleteFile { at } => {
                let status = site.ci().delete(&address(&at, spelling)).await.status;
                assert_eq!(status, model.delete(|file| *file == at), "step {number}: {step:?}");
                changes += usize::from(status == 204);
            }
            Step::DeleteVersion { at } => {
                let status = site.ci().delete(&address(&at, spelling)).await.status;
                assert_eq!(status, model.delete(|file| file[..2] == at), "step {number}: {step:?}");
                changes += usize::from(status == 204);
            }
            Step::List { package } => check(site, &model, package, spelling).await,
            Step::Sweep => {
                site.sweep(std::time::Duration::ZERO).await.unwrap();
            }
        }
    }
    for site in sites {
        for package in 0..PACKAGES.len() {
            check(site, &model, package, 0).await;
        }
        for (at, (_, body)) in &model.files {
            assert!(site.anon().get(&address(at, 0)).await.is(200).body == bodies[*body], "{at:?}");
        }
    }
    assert_eq!(sites[0].db_audit().len(), changes);
    assert!(sites[0].db_broken().await.is_empty());
}
