//! The example signup, tested with the commands that it prints: the fixation attack fails.

use serde_json::{Value, json};

use crate::process::{Running, run};
use crate::rows::{INVALID, answer_to, problem};

/// The running example, its commands, and the keys that it has returned.
struct Shop {
    running: Running,
    /// The variables of the shell so far.
    variables: String,
}

impl Shop {
    fn open() -> Self {
        let (running, _) = Running::serve("signup", &[]);
        Self {
            running,
            variables: String::new(),
        }
    }

    /// Pastes the next command, which stores a key in a variable.
    fn keep(&mut self, variable: &str) -> String {
        let start = format!("{variable}=$(");
        let command = self.running.commands(&start, 1).remove(0);
        let script = format!("{}{command}; printf %s \"${variable}\"", self.variables);
        let output = run("sh", ["-c", &script]);
        assert!(output.status.success(), "{output:?}");
        let key = String::from_utf8(output.stdout).unwrap();
        self.variables = format!("{}{variable}='{key}'; ", self.variables);
        key
    }

    /// Pastes the next command, which sends a stored key.
    #[track_caller]
    fn ask(&self, key: &str, path: &str, status: u16, body: &Answer) {
        let command = self.running.commands("curl", 1).remove(0);
        assert!(command.contains(key), "{command} asks without {key}");
        assert!(command.ends_with(path), "{command} does not ask for {path}");
        let response = answer_to(&format!("{}{command}", self.variables));
        assert_eq!(response.status.as_u16(), status, "{command}");
        match body {
            Answer::Json(body) => assert_eq!(response.json(), *body, "{command}"),
            Answer::Text(text) => assert_eq!(response.body, *text, "{command}"),
        }
    }
}

enum Answer {
    Json(Value),
    Text(&'static str),
}

#[test]
fn r01_a_planted_key_is_dead_after_the_login_and_never_had_the_privilege() {
    let mut shop = Shop::open();
    let invalid = Answer::Json(problem(401, INVALID));
    let cart = Answer::Json(json!({"cart": ["tea"]}));
    let orders = Answer::Json(json!({"orders_of": "alice", "orders": ["tea", "milk"]}));

    let planted = shop.keep("planted");
    assert!(planted.starts_with("visit_"), "{planted}");
    shop.ask("$planted", "/cart", 200, &cart);
    shop.ask("$planted", "/orders", 401, &invalid);
    let wrong = Answer::Text("wrong name or password");
    shop.ask("$planted", "/login", 403, &wrong);

    let real = shop.keep("real");
    assert!(real.starts_with("shop_"), "{real}");
    shop.ask("$planted", "/cart", 401, &invalid);
    shop.ask("$planted", "/orders", 401, &invalid);
    shop.ask("$planted", "/login", 401, &invalid);
    shop.ask("$real", "/orders", 200, &orders);

    shop.ask("$real", "/account", 204, &Answer::Text(""));
    shop.ask("$real", "/orders", 401, &invalid);
    shop.running.interrupt();
}
