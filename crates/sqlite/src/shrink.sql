-- What `newer` knows of the keys of this store, as far as it takes authority away. A key only ever
-- shrinks, so of two states of one key the smaller authority is the later one.
CREATE TEMP TABLE shrunk AS
SELECT mine.digest,
       CASE WHEN mine.scopes IS newer.scopes THEN mine.scopes
            ELSE (SELECT coalesce(group_concat(value, ' ' ORDER BY value), '')
                    FROM (SELECT value FROM json_each('["' || replace(mine.scopes, ' ', '","') || '"]')
                          INTERSECT
                          SELECT value FROM json_each('["' || replace(newer.scopes, ' ', '","') || '"]')))
       END AS scopes,
       -- Of restrictions the key has those of both.
       CASE WHEN mine.caveats IS newer.caveats THEN mine.caveats
            ELSE (SELECT coalesce(group_concat(value, ' ' ORDER BY value), '')
                    FROM (SELECT value FROM json_each('["' || replace(mine.caveats, ' ', '","') || '"]')
                          UNION
                          SELECT value FROM json_each('["' || replace(newer.caveats, ' ', '","') || '"]'))
                   WHERE value IS NOT '')
       END AS caveats,
       coalesce(min(mine.expires_at, newer.expires_at), mine.expires_at, newer.expires_at) AS expires_at,
       coalesce(min(mine.retire_at, newer.retire_at), mine.retire_at, newer.retire_at) AS retire_at,
       coalesce(mine.revoked_at, newer.revoked_at) AS revoked_at,
       CASE WHEN mine.revoked_at IS NULL THEN newer.revocation_reason
            ELSE mine.revocation_reason END AS revocation_reason
  FROM main.api_keys AS mine
  JOIN newer.api_keys AS newer ON newer.digest = mine.digest;

DELETE FROM shrunk WHERE EXISTS (
    SELECT 1 FROM main.api_keys AS mine
     WHERE mine.digest = shrunk.digest
       AND mine.scopes IS shrunk.scopes AND mine.caveats IS shrunk.caveats
       AND mine.expires_at IS shrunk.expires_at
       AND mine.retire_at IS shrunk.retire_at AND mine.revoked_at IS shrunk.revoked_at);

UPDATE main.api_keys AS mine
   SET scopes = shrunk.scopes, caveats = shrunk.caveats,
       expires_at = shrunk.expires_at, retire_at = shrunk.retire_at,
       revoked_at = shrunk.revoked_at, revocation_reason = shrunk.revocation_reason,
       version = mine.version + 1
  FROM temp.shrunk AS shrunk
 WHERE shrunk.digest = mine.digest;
