//! The light and dark themes.

use super::forms::Protected;
use super::page::{Reply, Theme};
use crate::auth::call::Call;
use crate::error::Result;
use serde::Deserialize;

#[derive(Deserialize)]
pub struct Choice {
    theme: String,
    back: String,
}

/// `POST /-/theme`.
pub async fn choose(call: Call, form: Protected<Choice>) -> Result<Reply> {
    let choice = form.read(&call).await?;
    Ok(Reply::to(&choice.back).cookie(Theme::of(&choice.theme).cookie(&call.app)))
}
