-- A customer's latest orders.
\set customer random(1, 60000)
SELECT id, placed, amount FROM orders WHERE customer = :customer ORDER BY placed DESC LIMIT 10;
