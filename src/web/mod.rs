//! Pages for people: server-rendered, working without JavaScript. Their routes are in the table of `crate::routes`.

pub mod account;
pub mod assets;
pub mod delete;
pub mod device;
pub mod error;
pub mod explore;
pub mod forms;
pub mod home;
pub mod list;
pub mod login;
pub mod manual;
pub mod owner;
pub mod page;
pub mod password;
pub mod problems;
pub mod profile;
pub mod second_factor;
pub mod security;
pub mod settings;
pub mod show;
pub mod theme;
pub mod upload;
