BEGIN TRANSACTION;
CREATE TABLE checkpoints (
	run INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	size INTEGER NOT NULL, 
	inline BLOB, 
	member INTEGER, 
	interval INTEGER NOT NULL, 
	age INTEGER NOT NULL, 
	source INTEGER, 
	boundary BOOLEAN NOT NULL, 
	pinned BOOLEAN NOT NULL, 
	revision INTEGER NOT NULL, 
	dropped INTEGER, 
	PRIMARY KEY (run, name), 
	FOREIGN KEY(run) REFERENCES runs (id), 
	FOREIGN KEY(source) REFERENCES intervals (id)
);
INSERT INTO "checkpoints" VALUES(1,'6189a8d5503d57dcc75928866fb9b080754243de1acca25c93aa7e80ef8e5eca-0.safetensors','6189a8d5503d57dcc75928866fb9b080754243de1acca25c93aa7e80ef8e5eca',64,X'38000000000000007B225F5F6D657461646174615F5F223A7B2277617272656E223A227B5C22645C223A7B5C226E756D6265725C223A307D7D227D7D20202020',0,1,1,1,1,0,5,NULL);
INSERT INTO "checkpoints" VALUES(1,'d670fe9cb975a0a41a146d119eed7bd79a33b9c9b086b7cc4972c56ead682224-1.safetensors','d670fe9cb975a0a41a146d119eed7bd79a33b9c9b086b7cc4972c56ead682224',64,X'38000000000000007B225F5F6D657461646174615F5F223A7B2277617272656E223A227B5C22645C223A7B5C226E756D6265725C223A317D7D227D7D20202020',1,1,1,2,1,0,6,NULL);
INSERT INTO "checkpoints" VALUES(1,'74b916f8dd4a0ad816f2b9ddee199bb9a395f2acc5dbc0b073dcd31fc53e342e-2.safetensors','74b916f8dd4a0ad816f2b9ddee199bb9a395f2acc5dbc0b073dcd31fc53e342e',64,X'38000000000000007B225F5F6D657461646174615F5F223A7B2277617272656E223A227B5C22645C223A7B5C226E756D6265725C223A327D7D227D7D20202020',2,1,1,3,1,0,7,NULL);
INSERT INTO "checkpoints" VALUES(1,'aa4d3f9215c5664dd7e2184b01386539eb9476e0c69c0e2a849676d169f7b033-3.safetensors','aa4d3f9215c5664dd7e2184b01386539eb9476e0c69c0e2a849676d169f7b033',64,X'38000000000000007B225F5F6D657461646174615F5F223A7B2277617272656E223A227B5C22645C223A7B5C226E756D6265725C223A337D7D227D7D20202020',0,2,2,4,0,0,10,NULL);
INSERT INTO "checkpoints" VALUES(1,'bae734d58b1ffc7dd2e8611e0e1bcfd141585a720047f06289f57dcf7744ada5-4.safetensors','bae734d58b1ffc7dd2e8611e0e1bcfd141585a720047f06289f57dcf7744ada5',64,X'38000000000000007B225F5F6D657461646174615F5F223A7B2277617272656E223A227B5C22645C223A7B5C226E756D6265725C223A347D7D227D7D20202020',2,2,2,6,1,0,19,NULL);
INSERT INTO "checkpoints" VALUES(2,'6189a8d5503d57dcc75928866fb9b080754243de1acca25c93aa7e80ef8e5eca-0.safetensors','6189a8d5503d57dcc75928866fb9b080754243de1acca25c93aa7e80ef8e5eca',64,X'38000000000000007B225F5F6D657461646174615F5F223A7B2277617272656E223A227B5C22645C223A7B5C226E756D6265725C223A307D7D227D7D20202020',0,1,1,7,1,0,4,NULL);
INSERT INTO "checkpoints" VALUES(2,'d670fe9cb975a0a41a146d119eed7bd79a33b9c9b086b7cc4972c56ead682224-1.safetensors','d670fe9cb975a0a41a146d119eed7bd79a33b9c9b086b7cc4972c56ead682224',64,X'38000000000000007B225F5F6D657461646174615F5F223A7B2277617272656E223A227B5C22645C223A7B5C226E756D6265725C223A317D7D227D7D20202020',1,1,1,8,1,0,5,NULL);
CREATE TABLE events (
	id INTEGER NOT NULL, 
	run INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	member INTEGER, 
	body TEXT, 
	revision INTEGER NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(run) REFERENCES runs (id)
);
INSERT INTO "events" VALUES(1,1,'decision',0,'{"interval":1,"seen":8,"actions":[{"$":"warren.population.plan:Assign","member":0,"hyperparameters":{"x":2.4},"sources":["74b916f8dd4a0ad816f2b9ddee199bb9a395f2acc5dbc0b073dcd31fc53e342e-2.safetensors"],"via":"copy","intervals":2,"group":null,"role":null,"opponents":[],"tag":null}]}',9);
INSERT INTO "events" VALUES(2,1,'decision',1,'{"interval":1,"seen":11,"actions":[]}',12);
INSERT INTO "events" VALUES(3,1,'failure',2,'{"error":"it broke","interval":2,"worker":"w"}',15);
CREATE TABLE intervals (
	id INTEGER NOT NULL, 
	run INTEGER NOT NULL, 
	member INTEGER NOT NULL, 
	interval INTEGER NOT NULL, 
	age INTEGER NOT NULL, 
	birth INTEGER NOT NULL, 
	parents TEXT NOT NULL, 
	origin TEXT NOT NULL, 
	hyperparameters TEXT NOT NULL, 
	score FLOAT, 
	status TEXT NOT NULL, 
	"before" FLOAT, 
	samples TEXT, 
	curve TEXT, 
	metrics TEXT NOT NULL, 
	cost FLOAT NOT NULL, 
	results TEXT, 
	checkpoint TEXT, 
	boundary BOOLEAN NOT NULL, 
	seconds FLOAT NOT NULL, 
	overhead FLOAT NOT NULL, 
	worker TEXT NOT NULL, 
	seen INTEGER, 
	"group" TEXT NOT NULL, 
	role TEXT NOT NULL, 
	tag TEXT, 
	revision INTEGER NOT NULL, 
	scored INTEGER, 
	voided INTEGER, 
	touched INTEGER NOT NULL, 
	PRIMARY KEY (id), 
	CONSTRAINT ok_has_score CHECK ((status = 'ok') = (score IS NOT NULL)), 
	FOREIGN KEY(run) REFERENCES runs (id)
);
INSERT INTO "intervals" VALUES(1,1,0,1,1,0,'[]','fresh','{"x":0.0}',1.0,'ok',NULL,NULL,NULL,'{}',1.0,NULL,'6189a8d5503d57dcc75928866fb9b080754243de1acca25c93aa7e80ef8e5eca-0.safetensors',1,0.0,0.0,'w',NULL,'','train',NULL,5,5,NULL,5);
INSERT INTO "intervals" VALUES(2,1,1,1,1,0,'[]','fresh','{"x":1.0}',2.0,'ok',NULL,NULL,NULL,'{}',1.0,NULL,'d670fe9cb975a0a41a146d119eed7bd79a33b9c9b086b7cc4972c56ead682224-1.safetensors',1,0.0,0.0,'w',NULL,'','train',NULL,6,6,NULL,6);
INSERT INTO "intervals" VALUES(3,1,2,1,1,0,'[]','fresh','{"x":2.0}',3.0,'ok',NULL,NULL,NULL,'{}',1.0,NULL,'74b916f8dd4a0ad816f2b9ddee199bb9a395f2acc5dbc0b073dcd31fc53e342e-2.safetensors',1,0.0,0.0,'w',NULL,'','train',NULL,7,7,NULL,7);
INSERT INTO "intervals" VALUES(4,1,0,2,2,0,'[3]','exploit','{"x":2.4}',2.5,'ok',NULL,NULL,NULL,'{}',1.0,NULL,'aa4d3f9215c5664dd7e2184b01386539eb9476e0c69c0e2a849676d169f7b033-3.safetensors',0,0.0,0.0,'w',NULL,'','train',NULL,10,10,NULL,10);
INSERT INTO "intervals" VALUES(5,1,1,2,2,0,'[2]','continue','{"x":1.0}',NULL,'diverged',NULL,NULL,NULL,'{}',1.0,NULL,NULL,1,0.0,0.0,'w',NULL,'','train',NULL,13,13,NULL,13);
INSERT INTO "intervals" VALUES(6,1,2,2,2,0,'[3]','continue','{"x":2.0}',NULL,'pending',NULL,NULL,NULL,'{}',1.0,NULL,'bae734d58b1ffc7dd2e8611e0e1bcfd141585a720047f06289f57dcf7744ada5-4.safetensors',1,0.0,0.0,'w',NULL,'','train',NULL,19,NULL,NULL,19);
INSERT INTO "intervals" VALUES(7,2,0,1,1,0,'[]','fresh','{"x":0.0}',0.5,'ok',NULL,NULL,NULL,'{}',1.0,NULL,'6189a8d5503d57dcc75928866fb9b080754243de1acca25c93aa7e80ef8e5eca-0.safetensors',1,0.0,0.0,'w',NULL,'','train',NULL,4,4,NULL,4);
INSERT INTO "intervals" VALUES(8,2,1,1,1,0,'[]','fresh','{"x":1.0}',-0.5,'ok',NULL,NULL,NULL,'{}',1.0,NULL,'d670fe9cb975a0a41a146d119eed7bd79a33b9c9b086b7cc4972c56ead682224-1.safetensors',1,0.0,0.0,'w',NULL,'','train',NULL,5,5,NULL,5);
CREATE TABLE members (
	run INTEGER NOT NULL, 
	member INTEGER NOT NULL, 
	state TEXT NOT NULL, 
	role TEXT NOT NULL, 
	"group" TEXT NOT NULL, 
	budget INTEGER NOT NULL, 
	age INTEGER NOT NULL, 
	due INTEGER NOT NULL, 
	hold INTEGER, 
	hyperparameters TEXT NOT NULL, 
	start TEXT, 
	saved INTEGER NOT NULL, 
	parents TEXT NOT NULL, 
	last INTEGER, 
	origin TEXT NOT NULL, 
	kept TEXT, 
	via TEXT NOT NULL, 
	sources TEXT NOT NULL, 
	opponents TEXT NOT NULL, 
	birth INTEGER NOT NULL, 
	failures INTEGER NOT NULL, 
	token TEXT, 
	worker TEXT, 
	next TEXT, 
	tag TEXT, 
	error TEXT, 
	revision INTEGER NOT NULL, 
	PRIMARY KEY (run, member), 
	CONSTRAINT leased_has_token CHECK ((state = 'leased') = (token IS NOT NULL)), 
	FOREIGN KEY(run) REFERENCES runs (id), 
	UNIQUE (token)
);
INSERT INTO "members" VALUES(1,0,'leased','train','',2,2,3,NULL,'{"x":2.4}','aa4d3f9215c5664dd7e2184b01386539eb9476e0c69c0e2a849676d169f7b033-3.safetensors',2,'[4]',NULL,'continue',NULL,'keep','[]','[]',0,0,'gone-20','gone',NULL,NULL,NULL,20);
INSERT INTO "members" VALUES(1,1,'waiting','train','',2,1,2,NULL,'{"x":1.0}','d670fe9cb975a0a41a146d119eed7bd79a33b9c9b086b7cc4972c56ead682224-1.safetensors',2,'[2]',NULL,'continue',NULL,'keep','[]','[]',0,1,NULL,NULL,NULL,NULL,'the score was not finite',13);
INSERT INTO "members" VALUES(1,2,'waiting','train','',2,2,1,NULL,'{"x":2.0}','bae734d58b1ffc7dd2e8611e0e1bcfd141585a720047f06289f57dcf7744ada5-4.safetensors',2,'[6]',NULL,'continue',NULL,'keep','[]','[]',0,0,NULL,NULL,NULL,NULL,'it broke',19);
INSERT INTO "members" VALUES(2,0,'waiting','train','',1,1,1,NULL,'{"x":0.0}','6189a8d5503d57dcc75928866fb9b080754243de1acca25c93aa7e80ef8e5eca-0.safetensors',1,'[7]',NULL,'continue',NULL,'keep','[]','[]',0,0,NULL,NULL,NULL,NULL,NULL,4);
INSERT INTO "members" VALUES(2,1,'waiting','train','',1,1,1,NULL,'{"x":1.0}','d670fe9cb975a0a41a146d119eed7bd79a33b9c9b086b7cc4972c56ead682224-1.safetensors',1,'[8]',NULL,'continue',NULL,'keep','[]','[]',0,0,NULL,NULL,NULL,NULL,NULL,5);
CREATE TABLE runs (
	id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	config TEXT NOT NULL, 
	status TEXT NOT NULL, 
	reason TEXT, 
	revision INTEGER NOT NULL, 
	goal TEXT NOT NULL, 
	synchronous BOOLEAN NOT NULL, 
	"limit" INTEGER NOT NULL, 
	tries INTEGER NOT NULL, 
	stop TEXT, 
	total INTEGER NOT NULL, 
	best INTEGER, 
	best_score FLOAT, 
	best_checkpoint TEXT, 
	improved INTEGER NOT NULL, 
	improved_score FLOAT, 
	elapsed FLOAT NOT NULL, 
	memory TEXT, 
	memory_version INTEGER NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (name)
);
INSERT INTO "runs" VALUES(1,'default','{"population":3}','running',NULL,20,'max',0,4,3,NULL,6,3,3.0,'74b916f8dd4a0ad816f2b9ddee199bb9a395f2acc5dbc0b073dcd31fc53e342e-2.safetensors',3,3.0,0.0,NULL,0);
INSERT INTO "runs" VALUES(2,'other','{"population":2}','running',NULL,5,'max',0,2,3,NULL,2,7,0.5,'6189a8d5503d57dcc75928866fb9b080754243de1acca25c93aa7e80ef8e5eca-0.safetensors',1,0.5,0.0,NULL,0);
CREATE TABLE warren_schema (
	version INTEGER NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "warren_schema" VALUES(1);
CREATE TABLE workers (
	run INTEGER NOT NULL, 
	worker TEXT NOT NULL, 
	host TEXT NOT NULL, 
	pid INTEGER NOT NULL, 
	beat INTEGER NOT NULL, 
	gpu TEXT, 
	"left" BOOLEAN NOT NULL, 
	PRIMARY KEY (run, worker), 
	UNIQUE (run, worker), 
	FOREIGN KEY(run) REFERENCES runs (id)
);
INSERT INTO "workers" VALUES(1,'w','here',1,0,NULL,0);
CREATE INDEX members_queue ON members (run, state, budget, member);
CREATE INDEX members_start ON members (run, start) WHERE origin <> 'continue';
CREATE INDEX members_combined ON members (run) WHERE sources <> '[]' OR opponents <> '[]';
CREATE INDEX members_kept ON members (run, kept) WHERE kept IS NOT NULL;
CREATE INDEX intervals_touched ON intervals (run, touched);
CREATE UNIQUE INDEX intervals_dense ON intervals (run, member, interval) WHERE voided IS NULL;
CREATE INDEX events_revision ON events (run, revision);
CREATE INDEX checkpoints_kept ON checkpoints (run, member) WHERE dropped IS NULL;
COMMIT;
