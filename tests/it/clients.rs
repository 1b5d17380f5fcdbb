//! Real clients. First those that offer another protocol with `Upgrade` on every request: curl, and Java where it is
//! installed. Then the programs of `docs/usage/clients`, each where it is installed, by the scripts of `tests/clients`.

use crate::support::{Plan, Site, cluster::cluster};
use std::path::Path;
use std::process::{Command, Output};

/// Runs a program while the server answers it; `None` if it isn't installed.
#[expect(clippy::print_stdout, reason = "a test that did nothing says so")]
pub async fn run(command: Command) -> Option<Output> {
    let shown = format!("{command:?}");
    let ran = tokio::process::Command::from(command).output().await;
    match ran {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped, because it is not installed: {shown}");
            None
        }
        Err(error) => panic!("{shown}: {error}"),
    }
}

#[tokio::test]
async fn java_s_http_client_publishes_and_downloads_although_it_offers_http_2() {
    let site = Site::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/Jdk.java");
    let mut java = Command::new("java");
    let url = format!("http://{}/api/packages/ada/generic/tool/1.0", site.address);
    java.arg(source).args([&url, &cluster().people.ci]);
    let Some(ran) = run(java).await else { return };
    let shown = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert_eq!(shown, "PUT 201 0 HTTP_1_1\nGET 200 300000 HTTP_1_1\n".repeat(3));
}

#[tokio::test]
async fn curl_publishes_and_downloads_on_one_connection_although_it_offers_http_2() {
    let site = Site::new();
    let content = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(content.path(), crate::support::noise(300_000)).unwrap();
    let url = format!("http://{}/api/packages/ada/generic/tool/1.0/f", site.address);
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--http2", "--write-out", "%{http_code} %{num_connects} %{size_download}\n"])
        .args(["--header", &format!("Authorization: Bearer {}", cluster().people.ci)])
        .arg("--upload-file")
        .arg(content.path())
        .args([&url, "--next", "--silent", "--http2", "--output", "/dev/null"])
        .args(["--write-out", "%{http_code} %{num_connects} %{size_download}\n", &url]);
    let ran = run(curl).await.expect("curl is one of the tools of the tests");
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "201 1 0\n200 0 300000\n");
}

/// Runs a script of `tests/clients`, which fails if the program doesn't do what its page of the manual says.
#[expect(clippy::print_stdout, reason = "a test that did nothing says so")]
async fn try_client(script: &str) {
    // Programs compare dates with their own.
    let site = Site::start(Plan { real_time: true, ..Plan::default() });
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    let mut sh = Command::new("sh");
    sh.arg(path).args([&format!("http://{}", site.address), &cluster().people.ci]);
    let ran = run(sh).await.expect("a shell is one of the tools of the tests");
    let shown = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    match ran.status.code() {
        // What the scripts answer if the program isn't installed.
        Some(77) => println!("{script}: {shown}"),
        code => assert_eq!(code, Some(0), "{shown}"),
    }
}

#[tokio::test]
async fn ansible_does_what_its_page_says() {
    try_client("ansible.sh").await;
}

#[tokio::test]
async fn apt_does_what_its_page_says() {
    try_client("apt.sh").await;
}

#[tokio::test]
async fn pipelines_publish_and_verify_as_their_pages_say() {
    try_client("ci.sh").await;
}

#[tokio::test]
async fn cmake_does_what_its_page_says() {
    try_client("cmake.sh").await;
}

#[tokio::test]
async fn conan_does_what_its_page_says() {
    try_client("conan.sh").await;
}

#[tokio::test]
async fn goreleaser_does_what_its_page_says() {
    try_client("goreleaser.sh").await;
}

#[tokio::test]
async fn bazel_and_nix_get_checksums_in_their_form_from_a_header() {
    try_client("integrity.sh").await;
}

#[tokio::test]
async fn lftp_does_what_its_page_says() {
    try_client("lftp.sh").await;
}

#[tokio::test]
async fn meson_does_what_its_page_says() {
    try_client("meson.sh").await;
}

#[tokio::test]
async fn mise_does_what_its_page_says() {
    try_client("mise.sh").await;
}

#[tokio::test]
async fn pip_does_what_its_page_says() {
    try_client("pip.sh").await;
}

#[tokio::test]
async fn rclone_does_what_its_page_says() {
    try_client("rclone.sh").await;
}

#[tokio::test]
async fn terraform_does_what_its_page_says() {
    try_client("terraform.sh").await;
}

#[tokio::test]
async fn wget_does_what_its_page_says() {
    try_client("wget.sh").await;
}

#[test]
fn every_script_of_a_client_is_run_by_a_test() {
    let tests = include_str!("clients.rs");
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_script = name.ends_with(".sh") && name != "lib.sh";
        assert!(!is_script || tests.contains(&format!("try_client(\"{name}\")")), "no test runs {name}");
    }
}
