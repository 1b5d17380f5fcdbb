//! The OpenAPI document and its page: complete, consistent, and served like other static files. `script/fuzz-api` tests
//! that the server follows the document.

use crate::support::Site;
use packhouse::auth::policy::AcceptedCredentials;
use packhouse::routes;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The document, as the server sends it.
async fn document() -> Value {
    Site::new().anon().get("/api/openapi.json").await.is(200).json()
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap()
}

fn operations(document: &Value) -> Vec<(String, &Value)> {
    let of_path = |(path, item)| object(item).iter().map(move |(method, of)| (format!("{method} {path}"), of));
    object(&document["paths"]).iter().flat_map(of_path).collect()
}

/// The routes that are missing in the document, and the operations that aren't routes.
fn differences(document: &Value) -> Vec<String> {
    let known: BTreeSet<String> = operations(document).into_iter().map(|(name, _)| name).collect();
    let row = |row: &routes::Row| format!("{} {}", row.method.as_str().to_lowercase(), row.path);
    // HTML pages and feeds aren't part of the document.
    let of_pages = [AcceptedCredentials::Session, AcceptedCredentials::SessionOrAny, AcceptedCredentials::Feed];
    let table = routes::table().into_iter().filter(|row| !of_pages.contains(&row.policy.credentials));
    let table: BTreeSet<String> = table.map(|route| row(&route)).collect();
    table.symmetric_difference(&known).cloned().collect()
}

#[tokio::test]
async fn the_openapi_document_has_every_route_and_nothing_else() {
    let mut document = document().await;
    assert_eq!(differences(&document), [""; 0]);
    // A difference would be noticed.
    let item = document["paths"]["/api/v1/packages/{owner}/generic/{name}"].as_object_mut().unwrap();
    item.remove("delete");
    assert_eq!(differences(&document), ["delete /api/v1/packages/{owner}/generic/{name}"]);
    let paths = document["paths"].as_object_mut().unwrap();
    let moved = paths.remove("/api/v1/version").unwrap();
    paths.insert("/api/v1/versions".to_owned(), moved);
    assert_eq!(
        differences(&document),
        ["delete /api/v1/packages/{owner}/generic/{name}", "get /api/v1/version", "get /api/v1/versions"]
    );
}

#[test]
fn no_two_openapi_schemas_have_the_same_name() {
    assert_eq!(routes::document(None).clashes(), [""; 0]);
}

#[tokio::test]
async fn operation_ids_are_unique_identifiers() {
    let document = document().await;
    let mut names = BTreeSet::new();
    for (operation, of) in operations(&document) {
        let id = of["operationId"].as_str().unwrap();
        assert!(
            id.chars().all(|c| c.is_ascii_alphanumeric()) && id.starts_with(char::is_lowercase),
            "{operation}: {id}"
        );
        assert!(names.insert(id.to_owned()), "{operation}: {id} occurs twice");
        assert!(of["summary"].as_str().is_some_and(|text| !text.is_empty()), "{operation}");
    }
}

/// Generated clients name their functions by these, so a change of one breaks them.
#[tokio::test]
async fn the_names_of_operations_stay_as_they_are() {
    let document = document().await;
    let mut names: Vec<String> = operations(&document)
        .into_iter()
        .map(|(operation, of)| format!("{operation} {}\n", of["operationId"].as_str().unwrap()))
        .collect();
    names.sort();
    assert_eq!(names.concat(), include_str!("snapshots/operation_ids.txt"));
}

#[tokio::test]
async fn every_openapi_tag_is_described() {
    let document = document().await;
    let described: Vec<&Value> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    for (operation, of) in operations(&document) {
        assert!(described.contains(&&of["tags"][0]), "{operation}: {}", of["tags"]);
    }
}

#[tokio::test]
async fn every_path_parameter_is_described() {
    let document = document().await;
    for (operation, of) in operations(&document) {
        let braces = operation.split('/').filter(|segment| segment.starts_with('{')).count();
        let nothing = Vec::new();
        let parameters = of["parameters"].as_array().unwrap_or(&nothing);
        let in_path: Vec<_> = parameters.iter().filter(|parameter| parameter["in"] == "path").collect();
        assert_eq!(in_path.len(), braces, "{operation}");
        for parameter in in_path {
            let schema = &parameter["schema"];
            let bound = ["pattern", "minimum", "enum"].iter().any(|word| schema.get(word).is_some());
            assert!(bound, "{operation}: {parameter} has no constraints");
            assert_eq!(parameter["required"], true, "{operation}");
            assert!(parameter.get("example").is_some(), "{operation}: {parameter}");
        }
    }
}

/// Every reference below a value.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_referenced_schema_exists_and_every_schema_is_used() {
    let document = document().await;
    let mut named = BTreeSet::new();
    references(&document, &mut named);
    let there = object(&document["components"]["schemas"]).keys();
    let there: BTreeSet<String> = there.map(|name| format!("#/components/schemas/{name}")).collect();
    assert_eq!(named.difference(&there).collect::<Vec<_>>(), [""; 0]);
    assert_eq!(there.difference(&named).collect::<Vec<_>>(), [""; 0]);
}

#[tokio::test]
async fn every_json_body_has_an_example() {
    let document = document().await;
    let mut missing = Vec::new();
    for (operation, of) in operations(&document) {
        let json = |of: &Value| of["content"].get("application/json").cloned();
        if let Some(body) = json(&of["requestBody"]).filter(|body| body.get("example").is_none()) {
            missing.push(format!("{operation} takes {}", body["schema"]));
        }
        for (status, answer) in object(&of["responses"]) {
            let free = operation == "get /api/openapi.json";
            if let Some(body) = json(answer).filter(|body| body.get("example").is_none())
                && status.starts_with('2')
                && !free
            {
                missing.push(format!("{operation} answers {status} {}", body["schema"]));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[tokio::test]
async fn all_fields_of_answers_are_required() {
    let document = document().await;
    for name in ["Package", "Person", "AccessToken", "Team", "Quota"] {
        let schema = &document["components"]["schemas"][name];
        let required: BTreeSet<&str> =
            schema["required"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        let fields: BTreeSet<&str> = object(&schema["properties"]).keys().map(String::as_str).collect();
        assert_eq!(required, fields, "{name}");
    }
    let taken = &document["components"]["schemas"]["CreateOrg"];
    assert_eq!(taken["required"], serde_json::json!(["username"]));
}

#[tokio::test]
async fn the_openapi_document_has_the_address_of_the_site() {
    let site = Site::with(&[("PACKHOUSE_PUBLIC_URL", "https://packages.example.org")]);
    let document = site.anon().get("/api/openapi.json").await.is(200).json();
    assert_eq!(document["servers"][0]["url"], "/");
    assert_eq!(document["servers"][1]["url"], "https://packages.example.org");
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["license"]["identifier"], "MIT OR Apache-2.0");
}

const PAGE: [&str; 7] = [
    "/api/swagger",
    "/api/swagger/swagger-ui.css",
    "/api/swagger/index.css",
    "/api/swagger/swagger-ui-bundle.js",
    "/api/swagger/start.js",
    "/api/swagger/favicon-32x32.png",
    "/api/swagger/favicon-16x16.png",
];

#[tokio::test]
async fn the_api_page_loads_only_its_own_files() {
    let site = Site::new();
    let page = site.anon().get("/api/swagger").await.is(200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let loaded: BTreeSet<&str> =
        page.text().split('"').filter(|word| word.starts_with('/') || word.contains("://")).collect();
    let known = PAGE[1..].iter().copied().chain(["/api/openapi.json"]).collect();
    assert_eq!(loaded, known);
    assert!(!page.text().contains("<style") && !page.text().contains("<script>") && !page.text().contains(" style="));
    for path in PAGE {
        let file = site.anon().get(path).await.is(200);
        let policy = file.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"), "{path}");
    }
}

#[tokio::test]
async fn static_files_are_compressed_and_revalidated() {
    let site = Site::new();
    for path in PAGE.into_iter().chain(["/api/openapi.json"]) {
        let whole = site.anon().get(path).await.is(200);
        let packed = site.anon().get(path).header("accept-encoding", "gzip, br").await.is(200);
        assert_eq!(whole.header("content-encoding"), None, "{path}");
        assert_eq!(packed.header("content-encoding"), Some("gzip"), "{path}");
        assert_eq!(packed.header("vary"), Some("Accept-Encoding"), "{path}");
        assert_eq!(packed.header("cache-control"), Some("no-cache"), "{path}");
        assert_ne!(packed.header("etag"), whole.header("etag"), "{path}");
        let tag = packed.header("etag").unwrap();
        let again = site.anon().get(path).header("accept-encoding", "gzip").header("if-none-match", tag).await.is(304);
        assert_eq!((again.header("etag"), again.body.len()), (Some(tag), 0), "{path}");
        let head = site.anon().head(path).await.is(200);
        assert_eq!(head.header("content-length"), Some(whole.body.len().to_string().as_str()), "{path}");
    }
    let bundle = site.anon().get(PAGE[3]).header("accept-encoding", "gzip").await;
    assert!(bundle.body.len() < 600_000, "{} bytes", bundle.body.len());
}

#[tokio::test]
async fn an_unknown_static_file_is_404() {
    let site = Site::new();
    for name in ["x.js", "swagger-initializer.js", "oauth2-redirect.html", "..%2Fopenapi.json", "%00", "index.html/x"] {
        site.anon().get(&format!("/api/swagger/{name}")).await.is(404);
    }
}
