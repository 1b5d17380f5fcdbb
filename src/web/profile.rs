//! The profile of a user, and who can see it.

use super::forms::Protected;
use super::page::{Frame, Reply, frame};
use super::problems::Problems;
use crate::auth::call::Call;
use crate::domain::role::Visibility;
use crate::error::{Error, Result, What};
use crate::registry::access::can_change_own;
use crate::registry::accounts::users::{self, User, edit_own};
use crate::registry::owners::namespace::OwnerEdit;
use askama::Template;
use serde::Deserialize;

/// The form as typed.
#[derive(Deserialize)]
pub struct Profile {
    full_name: String,
    description: String,
    website: String,
    location: String,
    visibility: String,
}

/// The visibilities of a user, with label and meaning.
const VISIBILITIES: [(Visibility, &str, &str); 3] = [
    (Visibility::Public, "Public", "Anyone can see you and download your packages."),
    (Visibility::Limited, "Limited", "Any signed-in user can see you and download your packages."),
    (Visibility::Private, "Private", "Only you and administrators can see you and your packages."),
];

#[derive(Template)]
#[template(path = "profile.html")]
struct ProfilePage {
    frame: Frame,
    problems: Problems,
    fields: Profile,
    user: User,
}

impl From<&User> for Profile {
    fn from(user: &User) -> Self {
        Self {
            full_name: user.full_name.clone(),
            description: user.profile.description.clone(),
            website: user.profile.website.clone(),
            location: user.profile.location.clone(),
            visibility: user.visibility.to_string(),
        }
    }
}

impl Profile {
    /// The change to the user, or the problems of the form.
    fn edit(&self) -> Result<OwnerEdit, Problems> {
        let mut problems = Problems::default();
        let edit = OwnerEdit {
            full_name: problems.take("full_name", self.full_name.trim().parse()),
            description: problems.take("description", self.description.replace("\r\n", "\n").trim().parse()),
            website: problems.take("website", self.website.trim().parse()),
            location: problems.take("location", self.location.trim().parse()),
            visibility: problems.take("visibility", self.visibility.parse()),
        };
        if problems.is_empty() { Ok(edit) } else { Err(problems) }
    }
}

/// The page, with the form as typed or else with the saved values.
async fn page(call: &Call, problems: Problems, typed: Option<Profile>) -> Result<ProfilePage> {
    let (frame, user) = frame(call, |conn, caller| {
        let name = caller.signed_in()?.name.clone();
        users::find(conn, &name)?.ok_or(Error::NotFound(What::User))
    })
    .await?;
    let fields = typed.unwrap_or_else(|| Profile::from(&user));
    Ok(ProfilePage { frame, problems, fields, user })
}

/// `GET /user/settings`.
pub async fn form(call: Call) -> Result<Reply> {
    Reply::page(&page(&call, Problems::default(), None).await?)
}

/// `POST /user/settings`.
pub async fn submit(call: Call, form: Protected<Profile>) -> Result<Reply> {
    let fields = form.read(&call).await?;
    let edit = match fields.edit() {
        Ok(edit) => edit,
        Err(problems) => {
            let page = page(&call, problems, Some(fields)).await?;
            return page.problems.reply(&page);
        }
    };
    let now = call.app.clock.now();
    call.writing(move |conn, caller| {
        let right = can_change_own(conn, caller)?;
        edit_own(conn, caller, &right, &edit, now)
    })
    .await?;
    Ok(Reply::to("/user/settings").notice(&call.app, "Profile saved."))
}
