//! Configurations, and paths through a policy that has one.

use filter_kit::{Environment, Filter, fake::Stream, load};
use policy::Policy;

/// A configuration is read, or refused with a reason. What is read takes a request and a response.
pub fn config<F: Filter>(bytes: &[u8]) {
    match load::<F>(
        bytes,
        &Environment::new(&|name: &str| {
            (name != "UNSET").then(|| "a secret of more than sixteen bytes".to_owned())
        }),
    ) {
        Ok(filter) => {
            Stream::get("/shop/7?email=a%40b.example&color=red")
                .header("cookie", "visitor=1; ab-arm=b")
                .header("x-user-id", "7")
                .drive(&filter);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The same policy, read as Istio reads it and strictly.
fn policies() -> [Policy; 2] {
    ["istio", "strict"].map(|mode| {
        let paths = r#"["/admin", "/admin/*", "*.secret", "/users/{*}/keys", "/files/{**}/private"]"#;
        let config = format!(
            r#"{{"mode": "{mode}", "policies": [{{"metadata": {{"name": "p"}}, "spec": {{"action": "DENY", "rules": [{{"to": [{{"operation": {{"paths": {paths}}}}}]}}]}}}}]}}"#
        );
        load(config.as_bytes(), &Environment::new(&|_: &str| None)).expect("a policy of this file")
    })
}

/// What Istio denies is denied strictly too, whatever the path's bytes.
pub fn path(bytes: &[u8]) {
    thread_local! {
        static POLICIES: [Policy; 2] = policies();
    }
    let [istio, strict] = POLICIES.with(|policies| {
        policies.each_ref().map(|policy| {
            let request = vec![
                (":method".to_owned(), b"GET".to_vec()),
                (":path".to_owned(), bytes.to_vec()),
                (":authority".to_owned(), b"shop.example".to_vec()),
            ];
            Stream::of(request, Vec::new()).drive(policy).reply.is_some()
        })
    });
    assert!(strict || !istio, "{:?} is denied by Istio alone", String::from_utf8_lossy(bytes));
}
