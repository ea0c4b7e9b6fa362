-- Triggers on the application's own tables of members and roles, so that no key keeps what its owner
-- has lost, whatever program changed the row. The change and the end of the keys are one transaction.
--
-- After `tower-api-key migrate`, in the same database:
--
--     psql -v ON_ERROR_STOP=1 "$DATABASE_URL" -f examples/privilege_trigger.sql
--
-- Keys are in the realm 'orders', and the subject of a key is the name of its member. More scopes are
-- a new key, which the application issues: see `InTransaction::join` of `tower-api-key-postgres`.
--
-- The triggers do what the role may do that changes a member, so it needs SELECT and UPDATE on
-- tower_api_keys. TRUNCATE passes over them: grant it to nobody.

BEGIN;

CREATE TABLE roles (
    name text PRIMARY KEY,
    scopes text[] NOT NULL
);
CREATE TABLE members (
    name text PRIMARY KEY,
    role text NOT NULL REFERENCES roles
);

-- A member who is renamed or deleted: every key ends.
CREATE FUNCTION members_end_keys() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    PERFORM tower_api_key_end_subject('orders', OLD.name, 'affiliation_changed');
    RETURN NULL;
END
$$;

CREATE TRIGGER members_renamed AFTER UPDATE ON members
    FOR EACH ROW WHEN (OLD.name IS DISTINCT FROM NEW.name) EXECUTE FUNCTION members_end_keys();
CREATE TRIGGER members_deleted AFTER DELETE ON members
    FOR EACH ROW EXECUTE FUNCTION members_end_keys();

-- A member of another role: every key keeps what the new role has, and gains nothing.
CREATE FUNCTION members_narrow_keys() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    PERFORM tower_api_key_narrow_subject(
        'orders', NEW.name, (SELECT scopes FROM roles WHERE roles.name = NEW.role)
    );
    RETURN NULL;
END
$$;

CREATE TRIGGER members_role AFTER UPDATE ON members
    FOR EACH ROW WHEN (OLD.role IS DISTINCT FROM NEW.role) EXECUTE FUNCTION members_narrow_keys();

-- A role that loses scopes: so does every member of it.
CREATE FUNCTION roles_narrow_keys() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    -- In one order, so that two of these never wait for one another crosswise.
    PERFORM tower_api_key_narrow_subject('orders', member.name, NEW.scopes)
    FROM (SELECT name FROM members WHERE role = NEW.name ORDER BY name) AS member;
    RETURN NULL;
END
$$;

CREATE TRIGGER roles_scopes AFTER UPDATE ON roles
    FOR EACH ROW WHEN (OLD.scopes IS DISTINCT FROM NEW.scopes) EXECUTE FUNCTION roles_narrow_keys();

COMMIT;
