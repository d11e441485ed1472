/** Types the oracle tests cover, with values that are worth trying; texts as Postgres reads them. */
export const edgeValues = {
  bool: ["true", "false"],
  int2: ["0", "1", "-1", "2", "7", "32767", "-32768", "100"],
  int4: ["0", "1", "-1", "2", "3", "7", "10", "42", "2147483647", "-2147483648", "100"],
  int8: [
    "0",
    "1",
    "-1",
    "5",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "3000000000",
    "42"
  ],
  numeric: [
    "0",
    "1",
    "-1",
    "0.1",
    "0.10",
    "0.2",
    "0.3",
    "1.50",
    "12345678901234567890",
    "12345678901234567891",
    "NaN",
    "99999.995",
    "-0.005",
    "10",
    "1e-20",
    "123456789.987654321",
    "2.5",
    "3.5",
    "Infinity"
  ],
  float8: [
    "0",
    "-0",
    "1",
    "0.1",
    "0.2",
    "0.30000000000000004",
    "1.5",
    "-2.5",
    "NaN",
    "Infinity",
    "-Infinity",
    "1e300",
    "1e-300",
    "123456789",
    "2.5",
    "1e15",
    "1e16",
    "0.0001",
    "0.00001"
  ],
  float4: [
    "0",
    "1",
    "0.1",
    "1.5",
    "-2.5",
    "NaN",
    "Infinity",
    "3.4e38",
    "1e-40",
    "16777217",
    "123456",
    "1234567",
    "0.3"
  ],
  text: [
    "",
    "a",
    "A",
    "abc",
    "ABC",
    "Hello",
    "hello world",
    "a%b",
    "a_b",
    "a\\b",
    "é",
    "É",
    "straße",
    "日本語",
    "😀x",
    "x😀",
    "5",
    " 5 ",
    "12.5",
    "true",
    "  pad  ",
    "a,b,c",
    "line\nbreak",
    "\uFFEEz",
    "10%",
    "NULL",
    "b"
  ],
  varchar: ["", "a", "abc", "Hello", "hello", "a%b", "é", "xyz"],
  bpchar: ["a", "abc", "ab  ", "", "Hello", "é"],
  date: [
    "2000-01-01",
    "2024-02-29",
    "2023-02-28",
    "1999-12-31",
    "infinity",
    "-infinity",
    "0044-03-15 BC",
    "9999-12-31",
    "2024-12-30",
    "2021-01-03",
    "1970-01-01"
  ],
  time: ["00:00:00", "23:59:59.999999", "12:30:00", "24:00:00", "10:11:12.345"],
  timestamp: [
    "2000-01-01 00:00:00",
    "2024-02-29 12:34:56.789",
    "2024-03-31 02:30:00",
    "2023-10-29 02:30:00",
    "infinity",
    "-infinity",
    "1999-12-31 23:59:59.999999",
    "2024-01-31 10:00:00",
    "10000-01-01 00:00:00",
    "1970-01-01 00:00:00"
  ],
  timestamptz: [
    "2010-11-07 02:35:00+00",
    "1990-04-01 03:35:59+00",
    "1971-06-01 00:44:45+00",
    "2000-01-01 00:00:00+00",
    "2024-02-29 12:34:56.789+00",
    "2024-03-31 01:30:00+00",
    "2023-10-29 00:30:00+00",
    "2023-10-29 01:30:00+00",
    "infinity",
    "2024-01-31 10:00:00+02",
    "1999-12-31 23:59:59.999999-08"
  ],
  interval: [
    "0",
    "1 day",
    "24 hours",
    "1 mon",
    "30 days",
    "-1 day",
    "1 year 2 mons 3 days 04:05:06.7",
    "-3 days +02:00:00",
    "100 years",
    "1 microsecond",
    "P1M-1D",
    "12:00:00"
  ],
  uuid: [
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff"
  ],
  bytea: ["\\x", "\\x00ff", "\\xdeadbeef", "\\x61"],
  jsonb: [
    '{"a": 1}',
    '{"a": {"b": "x"}, "k": 5}',
    "[1, 2, 3]",
    '["a", "b"]',
    "null",
    '"str"',
    "1.50",
    "true",
    '{"a": null}',
    '{"k": "5", "tags": ["x", "y"]}',
    "{}",
    "[]",
    '[[1], {"a": [1, 2]}]',
    '{"n": 1.0}'
  ],
  json: ['{"a": 1}', '{"a":{"b":"x"},"k":5}', "[1,2, 3]", '{"a":null}', '"s"', "[]", '{"k" : "v"}'],
  "int4[]": ["{}", "{1}", "{1,2,3}", "{NULL,1}", "{{1,2},{3,4}}", "[0:1]={5,6}", "{3,2,1}", "{42,7}"],
  "text[]": ["{}", "{a}", "{a,b}", '{"a b",NULL,"NULL"}', "{abc,Hello}", '{"é","😀"}', '{"x\\"y","c\\\\d"}'],
  "numeric[]": ["{}", "{1.0}", "{1,2.50}", "{NULL}", "{0.1,0.3}"],
  mood: ["sad", "ok", "happy"],
  int4range: ["empty", "[1,5)", "(,10)", "[3,)", "[5,6]", "(,)", "[1,2147483647)"],
  daterange: ["empty", "[2024-01-01,2024-12-31]", "(,2000-01-01)", "[2024-02-29,)"],
  numrange: ["empty", "[1.5,2.5]", "(0,1)", "(,3]", "[2.5,2.5]"],
  inet: ["192.168.0.1", "192.168.0.0/24", "10.0.0.0/8", "::1", "fe80::1/64", "0.0.0.0/0", "192.168.0.255/24"],
  cidr: ["10.0.0.0/8", "::/0", "192.168.1.0/24", "192.168.1.5/32"],
  timetz: ["10:00:00+00", "10:00:00+02", "23:59:59.5-05", "00:00:00+15:59", "12:00:00+02"],
  name: ["abc", "Hello", "", "b"],
  "mood[]": ["{}", "{sad,ok}", "{happy,NULL}"],
  posint: ["1", "7", "42"],
  pair: ["(1,a)", '(2,"b c")', "(,)", '(7,"x""y")'],
  "bit(3)": ["101", "100", "001", "000", "111"],
  "bit varying(5)": ["", "1", "101", "00001", "10100"],
  "bit(3)[]": ["{}", "{101,100}", "{001,NULL}", "{111}"],
  bits: ["101", "100", "000"],
  "numeric(6,2)": ["0", "1.5", "-0.01", "9999.99", "12.34", "NaN"],
  "timestamp(0)": ["2024-01-01 00:00:00", "2024-02-29 23:59:59.7", "infinity"],
  "time(1)": ["10:00:00", "10:00:00.04", "23:59:59.96"],
  "varchar(3)[]": ["{}", "{abc,a}", "{NULL}", '{"NULL","a b"}']
} as const

export type OracleType = keyof typeof edgeValues

export const oracleTypes = Object.keys(edgeValues) as ReadonlyArray<OracleType>

export const columnName = (type: OracleType, n: number): string => `${type.replace("[]", "_arr")}_${n}`

/** SQL that makes the types and the table `oracle` with two columns of every type. */
export const oracleSchema = (): string => {
  const columns = oracleTypes.flatMap((type) => {
    const declared = type === "bpchar" ? "char(8)" : type === "varchar" ? "varchar(20)" : type
    return [1, 2].map((n) => `"${columnName(type, n)}" ${declared}`)
  })
  return `
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
    CREATE TYPE pair AS (x int, y text);
    CREATE DOMAIN bits AS bit(3);
    CREATE DOMAIN posint AS int CHECK (VALUE > 0);
    CREATE TABLE oracle (id int PRIMARY KEY, ${columns.join(", ")})`
}

/** Evaluates a clause on every row in order of id: `t`, `f`, `n` or `e` per row; all `e` when it cannot be planned. */
export const verdictsFunction = `
  CREATE FUNCTION verdicts(relation text, clause text) RETURNS text LANGUAGE plpgsql AS $$
  DECLARE r record; result text := ''; v bool;
  BEGIN
    BEGIN
      EXECUTE 'SELECT string_agg(CASE WHEN v THEN ''t'' WHEN NOT v THEN ''f'' ELSE ''n'' END, '''' ORDER BY id) FROM (SELECT id, ('
        || clause || ') AS v FROM ' || relation || ' OFFSET 0) s' INTO result;
      RETURN result;
    EXCEPTION WHEN others THEN result := '';
    END;
    FOR r IN EXECUTE 'SELECT id FROM ' || relation || ' ORDER BY id' LOOP
      BEGIN
        EXECUTE 'SELECT (' || clause || ') FROM ' || relation || ' WHERE id = ' || r.id INTO v;
        result := result || CASE WHEN v THEN 't' WHEN NOT v THEN 'f' ELSE 'n' END;
      EXCEPTION
        WHEN internal_error THEN result := result || '?';
        WHEN others THEN result := result || 'e';
      END;
    END LOOP;
    RETURN result;
  END $$`
