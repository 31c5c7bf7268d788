-- A customer orders: two writes, one commit.
\set customer random(1, 60000)
\set amount random(1, 10000)
BEGIN;
INSERT INTO orders (customer, placed, amount, note)
VALUES (:customer, now(), :amount, repeat('n', 96));
UPDATE customers SET balance = balance + :amount WHERE id = :customer;
COMMIT;
