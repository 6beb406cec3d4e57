package main

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// orders is the gRPC service shop.Orders:
//
//	rpc List(google.protobuf.Empty) returns (google.protobuf.ListValue);
//	rpc Add(google.protobuf.Struct) returns (google.protobuf.Struct);
//
// It is made of well-known types, so that the example needs no generated code.
type orders struct{ store *store }

func (o *orders) list(_ context.Context, _ *emptypb.Empty) (*structpb.ListValue, error) {
	list := &structpb.ListValue{}
	for _, order := range o.store.listOrders() {
		list.Values = append(list.Values, structpb.NewStructValue(orderMessage(order)))
	}
	return list, nil
}

func (o *orders) add(_ context.Context, in *structpb.Struct) (*structpb.Struct, error) {
	made, err := o.store.addOrder(in.GetFields()["user"].GetStringValue(), in.GetFields()["item"].GetStringValue())
	switch {
	case errors.Is(err, errFull):
		return nil, status.Error(codes.ResourceExhausted, err.Error())
	case err != nil:
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	return orderMessage(made), nil
}

func orderMessage(o order) *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{
		"id": structpb.NewStringValue(o.ID), "user": structpb.NewStringValue(o.User), "item": structpb.NewStringValue(o.Item),
	}}
}

func newGRPC(s *store) *grpc.Server {
	o := &orders{store: s}
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "shop.Orders",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{unary("List", o.list), unary("Add", o.add)},
	}, o)
	return server
}

// unary describes a method as generated code would.
func unary[In, Out any](name string, call func(context.Context, *In) (*Out, error)) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: name, Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		in := new(In)
		if err := decode(in); err != nil {
			return nil, err
		}
		return call(ctx, in)
	}}
}

// grpcOr lets gRPC calls through to one handler, all else to the other: they
// share the port.
func grpcOr(calls, others http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			calls.ServeHTTP(w, r)
			return
		}
		others.ServeHTTP(w, r)
	})
}
