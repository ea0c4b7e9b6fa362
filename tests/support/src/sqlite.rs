//! Databases of SQLite without their guards.

/// Makes a change that the guards of the database refuse, as its owner can. They are restored before
/// this returns, and no other connection sees the database without them.
pub fn unguarded(connection: &rusqlite::Connection, act: impl FnOnce()) {
    let triggers: Vec<(String, String)> = connection
        .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
        .and_then(|mut found| {
            let rows = found.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        })
        .unwrap();
    let run = |sql: &str| connection.execute_batch(sql).unwrap();
    run("PRAGMA ignore_check_constraints = ON; BEGIN IMMEDIATE");
    for (name, _) in &triggers {
        run(&format!("DROP TRIGGER {name}"));
    }
    act();
    for (_, sql) in &triggers {
        run(sql);
    }
    run("COMMIT; PRAGMA ignore_check_constraints = OFF");
}
