use super::{Url, parse_with};

const SECRET: &str = "hunter2";

fn read(url: &str) -> Result<Url, String> {
    read_with(url, &[])
}

fn read_with(url: &str, variables: &[(&str, &str)]) -> Result<Url, String> {
    let variable = |name: &str| {
        let found = variables.iter().find(|(given, _)| *given == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    parse_with(url, &variable).map_err(|error| {
        let text = std::error::Error::source(&error).unwrap().to_string();
        assert!(
            !format!("{error} {error:?} {text}").contains(SECRET),
            "{text}"
        );
        text
    })
}

#[track_caller]
fn refused(url: &str) -> String {
    read(url).err().unwrap()
}

#[test]
fn r06_a_setting_that_is_not_obeyed_is_named_without_its_value() {
    for (setting, advice) in [
        ("sslMode", "write sslmode"),
        ("ssl-mode", "write sslmode"),
        ("ssl", "write sslmode=verify-full"),
        ("tls", "write sslmode=verify-full"),
        ("TLS", "write sslmode=verify-full"),
        ("ssl-ca", "write sslrootcert"),
        ("pasword", "leave it out: this store does not know it"),
        ("hostaddr", "write the address as the host"),
        ("options", "write each as options[name]=value"),
        ("options[]", "leave it out: this store does not know it"),
        (
            "connect_timeout",
            "use PostgresOptions::acquire_timeout instead",
        ),
        ("target_session_attrs", super::ONE_SERVER),
        ("channel_binding", super::USE_VERIFY_FULL),
        ("statement-cache-capacity", super::STATEMENTS),
    ] {
        let text = refused(&format!(
            "postgres://u@h/d?sslmode=require&{setting}=hunter2"
        ));
        assert_eq!(
            text,
            format!("correct the URL's setting {setting}: {advice}")
        );
    }
    let modes = "write disable, prefer, require, verify-ca or verify-full";
    // sqlx takes `allow` for `disable`.
    for mode in ["hunter2", "allow", "VERIFY-FULL", ""] {
        let text = refused(&format!("postgres://u@h/d?sslmode={mode}"));
        assert_eq!(text, format!("correct the URL's setting sslmode: {modes}"));
    }
    let twice = refused("postgres://u@h/d?sslmode=require&sslmode=disable");
    assert_eq!(twice, "correct the URL's setting sslmode: write it once");
    let twice = refused("postgres://u:hunter2@h/d?password=other");
    assert_eq!(twice, "correct the URL's setting password: write it once");
}

#[test]
fn r06_a_certificate_that_would_not_be_verified_is_refused() {
    for (query, setting) in [
        ("sslrootcert=/ca", "the setting sslrootcert"),
        ("sslmode=require&sslrootcert=/ca", "the setting sslrootcert"),
        (
            "sslmode=require&sslcert=/c",
            "the settings sslcert and sslkey",
        ),
        ("sslcert=/c&sslkey=/k", "the setting sslcert"),
    ] {
        let text = refused(&format!("postgres://u@h/d?{query}"));
        assert!(text.starts_with(&format!("correct {setting}: ")), "{text}");
    }
    read("postgres://u@h/d?sslmode=verify-full&sslrootcert=/ca&sslcert=/c&sslkey=/k").unwrap();
}

#[test]
fn r06_no_part_of_a_password_is_repeated_wherever_the_url_breaks_off() {
    for url in [
        "hunter2",
        "mysql://u:hunter2@h/d",
        "postgres://pw:123?hunter2@h/d",
        "postgres://pw:123?hunter2=a@h/d",
        "postgres://pw:123?hunter=a@h/d",
        "postgres://pw:123?user=hunter2@h/d",
        "postgres://pw:123?hunter2/d",
        "postgres://pw:1/hunter2@h/d",
        "postgres://pw:1#hunter2@h/d",
        "postgres://u:%hunter2@h/d",
        "postgres://u:hunter2%@h/d",
        "postgres://u:hunter2 @h/d",
        "postgres://u:hunter2@h:port/d",
        "postgres://u:hunter2@h:99999/d",
        "postgres://u:hunter2@[::/d",
        "postgres://u:hunter2@[hunter2]/d",
        "postgres://u:hunter2@::1/d",
        "postgres://u:hunter2@a,b/d",
        "postgres://u:hunter2@a:1,b:2/d",
        "postgres://u:hunter2@/d?host=a,b",
        "postgres://u@h/d?password=hunter2&x",
        "postgres://u@h/d?password=%00hunter2",
        "postgres://u@h/d?hunter2%3D=1",
    ] {
        assert!(refused(url).starts_with(super::FORM), "{url}");
    }
}

#[test]
fn r06_what_the_environment_asks_for_is_done_or_refused() {
    let url = "postgres://u@h/d";
    for (name, value) in [
        ("PGSSLMODE", "hunter2"),
        ("PGSSLMODE", "allow"),
        ("PGPORT", "hunter2"),
        ("PGCHANNELBINDING", "require"),
        ("PGREQUIRESSL", "1"),
        ("PGTARGETSESSIONATTRS", "read-write"),
        ("PGSERVICE", "hunter2"),
    ] {
        let text = read_with(url, &[(name, value)]).err().unwrap();
        assert!(
            text.starts_with(&format!("correct the environment variable {name}: ")),
            "{text}"
        );
    }
    for (name, value) in [("PGCHANNELBINDING", "prefer"), ("PGSSLMODE", "verify-full")] {
        read_with(url, &[(name, value)]).unwrap();
    }
}

#[test]
fn what_the_url_says_is_what_is_used() {
    let url = "postgres://al%40ice:p%3F%25+@%2Frun%2Fpg:6000/a%2Fb\
               ?application_name=x%20y&options[search_path]=auth&sslmode=disable";
    let read = read(url).unwrap();
    let options = &read.options;
    assert_eq!(options.get_username(), "al@ice");
    assert_eq!(options.get_host(), "/run/pg");
    assert_eq!(options.get_port(), 6000);
    assert_eq!(options.get_database(), Some("a/b"));
    assert_eq!(options.get_application_name(), Some("x y"));
    assert!(
        options
            .get_options()
            .unwrap()
            .ends_with("-c search_path=auth")
    );
    assert_eq!(read.search_path.as_deref(), Some("auth"));
    // In the form of other programs.
    let password = format!("{options:?}");
    assert!(password.contains("p?%+"), "{password}");
}

#[cfg(unix)]
#[test]
fn r06_a_password_file_is_read_and_no_line_of_it_repeated() {
    use std::os::unix::fs::PermissionsExt;
    let path = std::env::temp_dir().join(format!("tower-api-key-pgpass-{}", std::process::id()));
    let lines = "# hunter2\nhunter2\nother:*:*:*:no\nh:5432:d:u:se\\:c:r\\\\et\nh:*:*:*:late\n";
    std::fs::write(&path, lines).unwrap();
    let name = path.to_str().unwrap();
    let mode = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    let read = || read_with("postgres://u@h:5432/d", &[("PGPASSFILE", name)]);
    mode(0o644);
    let refused = read().err().unwrap();
    assert_eq!(
        refused,
        "correct the password file: others can read it; run chmod 600 on it"
    );
    mode(0o600);
    let found = format!("{:?}", read().unwrap().options);
    std::fs::remove_file(&path).unwrap();
    assert!(found.contains(r#"password: Some("se:c:r\\et")"#), "{found}");
    let missing = read().err().unwrap();
    assert_eq!(
        missing,
        "correct the password file: PGPASSFILE does not name a file"
    );
}
