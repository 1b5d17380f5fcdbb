//! Real clients that offer another protocol with `Upgrade` on every request: curl, and Java where it is installed.

use crate::support::{Site, cluster::cluster};
use std::path::Path;
use std::process::{Command, Output};

/// Runs a program while the server answers it; `None` if it isn't installed.
#[expect(clippy::print_stdout, reason = "a test that did nothing says so")]
async fn run(command: Command) -> Option<Output> {
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
