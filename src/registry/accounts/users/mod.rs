//! Users: people and machines that sign in.

mod delete;
mod edit;
mod own;
mod register;
mod user;

pub(super) use edit::able_admins;
pub(super) use user::insert;

pub use delete::{Holdings, delete, holdings};
pub use edit::{RESCUE, UserEdit, rename, set_locked, set_password, update};
pub use own::{EmailChange, change_own_email, change_password, delete_own, edit_own, obstacles, rename_own};
pub use register::{Registration, approve, register};
pub(in crate::registry) use user::create_invited;
pub use user::{
    FoundOrder, Login, NewUser, Standing, User, UserOrder, all, any, create, find, find_login, list, lock_first,
    note_login, search, search_among, see,
};
