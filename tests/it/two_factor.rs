//! Two-factor authentication of programs: the header `X-Gitea-OTP`.

use crate::support::{Answer, PASSWORD, Site, path};
use packhouse::registry::accounts::two_factor::Seed;
use std::time::Duration;

fn file() -> String {
    path(&["ada", "tool", "1", "f"])
}

/// A server where Ada is private, has a file and two-factor authentication. Returns the secret of her codes too.
async fn enrolled() -> (Site, Seed) {
    let site = Site::new();
    site.ci().publish(&file(), "hello").await;
    site.db_execute("UPDATE owners SET visibility = 2 WHERE name = 'ada'");
    site.ada().get(&file()).await.is(200);
    let seed = site.db_second_factor("ada");
    (site, seed)
}

async fn with_code(site: &Site, code: &str) -> Answer {
    site.ada().get(&file()).header("x-gitea-otp", code).await
}

#[tokio::test]
async fn a_password_alone_is_401_once_two_factor_is_set_up() {
    let (site, _) = enrolled().await;
    site.ada().get(&file()).await.is(401).says("X-Gitea-OTP");
    with_code(&site, "").await.is(401);
    with_code(&site, "000000000").await.is(401);
    // A token needs no code, because tokens are for programs.
    site.reader().get(&file()).await.is(200);
}

#[tokio::test]
async fn each_two_factor_code_works_once_and_no_older_one_after_it() {
    let (site, seed) = enrolled().await;
    let code = |seconds: i64| {
        let now = site.now();
        let span = Duration::from_secs(seconds.unsigned_abs());
        seed.code_at(if seconds < 0 { now.minus(span) } else { now.plus(span) }).unwrap()
    };
    with_code(&site, &code(-60)).await.is(401);
    with_code(&site, &code(60)).await.is(401);
    with_code(&site, &code(0)).await.is(200);
    with_code(&site, &code(0)).await.is(401);
    with_code(&site, &code(-30)).await.is(401);
    site.pass(Duration::from_secs(30));
    with_code(&site, &code(0)).await.is(200);
    // The login is remembered by now, but each request still needs a new code.
    site.ada().get(&file()).await.is(401);
}

#[tokio::test]
async fn a_correct_two_factor_code_does_not_help_a_wrong_password() {
    let (site, seed) = enrolled().await;
    let code = seed.code_at(site.now()).unwrap();
    let wrong = site.anon().basic("ada", "wrong password").get(&file()).header("x-gitea-otp", &code).await.is(401);
    assert!(!wrong.text().contains("two-factor"), "only callers with the password learn that a code is needed");
    with_code(&site, &code).await.is(200);
}

#[tokio::test]
async fn only_one_of_many_concurrent_requests_can_use_a_code() {
    let (site, seed) = enrolled().await;
    let code = seed.code_at(site.now()).unwrap();
    let requests = (0..5).map(|_| with_code(&site, &code));
    let answers = futures_util::future::join_all(requests).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 401).count(), 4);
}

#[tokio::test]
async fn guessing_two_factor_codes_is_429_after_five_attempts() {
    let (site, seed) = enrolled().await;
    let right = seed.code_at(site.now()).unwrap();
    let wrong = (0..6).map(|at| format!("{at:06}")).filter(|code| *code != right);
    for code in wrong.take(5) {
        with_code(&site, &code).await.is(401);
    }
    let answer = with_code(&site, &right).await.is(429);
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    site.pass(Duration::from_secs(wait));
    with_code(&site, &seed.code_at(site.now()).unwrap()).await.is(200);
}

#[tokio::test]
async fn the_two_factor_secret_is_encrypted_in_the_database() {
    let (site, seed) = enrolled().await;
    let sealed = site.db_texts("SELECT encode(sealed_seed, 'hex') AS text FROM second_factors");
    assert!(!sealed[0].contains(&packhouse::domain::digest::to_hex(seed.as_bytes())));
    let audit = site.db_audit();
    assert!(audit.last().unwrap().starts_with("user.two_factor.enroll by ada"), "{audit:?}");
    site.anon().basic("ada", PASSWORD).get("/api/v1/user").await.is(401);
}
